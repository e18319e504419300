"""Write the backbone of a checkpoint for another library, after trying it there.

    python tools/export_backbone.py CHECKPOINT OUT [--to mmdet|mmcls|torchvision|timm|detectron2] [--encoder query|key]
        [--config CONFIG] [--images FOLDER | --keep-statistics]

OUT ends in .pth or .safetensors, or, for detectron2, in .pkl.

BN's running statistics are re-estimated on whole images: at the end of a pre-training already, and here of a checkpoint
from before its end, on the images that it was trained on, if they are there, or on those of --images.
"""

import argparse
from functools import partial
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.exported_bn import reestimated
from detco_mm.engine.mistakes import read_config
from detco_mm.weights import export_backbone
from detco_mm.weights.stored_config import stated
from detco_mm.weights.targets import TARGETS

ROOT = Path(__file__).resolve().parents[1]

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a pre-training run, or any file that holds a backbone')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--encoder', choices=['query', 'key'], default='query', help='default: %(default)s')
    parser.add_argument('--to', choices=TARGETS, help="library to write for; default: that of the backbone's class")
    parser.add_argument('--config', help='config of the run, where the checkpoint does not tell')
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--images', metavar='FOLDER', help='images to re-estimate BN statistics on')
    chosen.add_argument('--keep-statistics', action='store_true', help='leave BN statistics as the checkpoint has them')
    args = parser.parse_args()
    with said_in_one_line():
        backbone = None
        if args.config:
            cfg = read_config(args.config, ROOT)
            backbone = stated(cfg.model.backbone, cfg.get('default_scope', 'mmselfsup'), trusted=True)
        statistics = None if args.keep_statistics else partial(reestimated, images=args.images)
        exported = export_backbone(args.checkpoint, args.out, args.encoder, args.to, statistics, backbone)
    meta, tried = exported['meta'], exported['meta']['verified']
    compared = (
        'names and shapes compared with a table'
        if tried['deviation'] is None
        else f'maps of an image differ by {tried["deviation"]:.1g} of their largest value'
    )
    hint = '' if args.keep_statistics else '; for those of a pre-training, --images FOLDER re-estimates them'
    print(f'BN statistics {meta.get("bn_statistics") or "as in the checkpoint" + hint}')
    print(f'{args.out}: {len(exported["state_dict"])} tensors, SHA-256 {meta["sha256"]}')
    print(f'for {meta["to"]}: {tried["network"]}; {compared}')
