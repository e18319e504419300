"""Write the backbone of a checkpoint for another library.

    python tools/export_backbone.py CHECKPOINT OUT [--to mmdet|torchvision|detectron2|timm] [--encoder query|key]

OUT ends in .pth or .safetensors, or, for detectron2, in .pkl.
"""

import argparse

import _stack  # noqa: F401

from detco_mm.engine.errors import said_in_one_line
from detco_mm.weights import export_backbone
from detco_mm.weights.formats import TARGETS

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a pre-training run')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--encoder', choices=['query', 'key'], default='query', help='default: %(default)s')
    parser.add_argument('--to', choices=TARGETS, default='mmdet', help='library to write for; default: %(default)s')
    args = parser.parse_args()
    with said_in_one_line():
        exported = export_backbone(args.checkpoint, args.out, args.encoder, args.to)
    print(f'{args.out}: {len(exported["state_dict"])} tensors, SHA-256 {exported["meta"]["sha256"]}')
