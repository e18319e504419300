"""Write the backbone of a checkpoint for another library.

    python tools/export_backbone.py CHECKPOINT OUT [--to mmdet|torchvision|detectron2|timm] [--encoder query|key]
        [--images FOLDER | --keep-statistics]

OUT ends in .pth or .safetensors, or, for detectron2, in .pkl.

BN's running statistics are re-estimated on whole images: at the end of a pre-training already, and here of a checkpoint
from before its end, on the images that it was trained on, if they are there, or on those of --images.
"""

import argparse
from functools import partial

import _stack  # noqa: F401

from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.exported_bn import reestimated
from detco_mm.weights import export_backbone
from detco_mm.weights.formats import TARGETS

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a pre-training run')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--encoder', choices=['query', 'key'], default='query', help='default: %(default)s')
    parser.add_argument('--to', choices=TARGETS, default='mmdet', help='library to write for; default: %(default)s')
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--images', metavar='FOLDER', help='images to re-estimate BN statistics on')
    chosen.add_argument('--keep-statistics', action='store_true', help='leave BN statistics as the checkpoint has them')
    args = parser.parse_args()
    with said_in_one_line():
        statistics = None if args.keep_statistics else partial(reestimated, images=args.images)
        exported = export_backbone(args.checkpoint, args.out, args.encoder, args.to, statistics)
    hint = '' if args.keep_statistics else ', and the images that it was trained on are not here: give some by --images'
    print(f'BN statistics {exported["meta"].get("bn_statistics") or "as in the checkpoint" + hint}')
    print(f'{args.out}: {len(exported["state_dict"])} tensors, SHA-256 {exported["meta"]["sha256"]}')
