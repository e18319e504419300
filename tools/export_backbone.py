"""Write the backbone of a pre-training checkpoint for MMDetection.

python tools/export_backbone.py CHECKPOINT OUT [--encoder query|key]
"""

import argparse
import sys

from detco_mm.weights import export_backbone

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a pre-training run')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--encoder', choices=['query', 'key'], default='query', help='default: %(default)s')
    args = parser.parse_args()
    try:
        exported = export_backbone(args.checkpoint, args.out, args.encoder)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'{type(error).__name__}: {error}')
    print(f'{args.out}: {len(exported["state_dict"])} tensors, SHA-256 {exported["meta"]["sha256"]}')
