"""kNN and linear accuracy of a frozen backbone on the annotated objects of a COCO-format set.

    python tools/eval_frozen.py CONFIG [BACKBONE] [--data DIR] [--split test] [--out FILE]

CONFIG is a pre-training config, for its backbone; BACKBONE any checkpoint that holds one, without which it is as --seed
draws it. Images are read and normalised as BACKBONE was trained on them, or else as CONFIG says. --data holds train/,
SPLIT/ and annotations/instances_{train,SPLIT}.json, as tools/make_data.py writes them.
"""

import argparse
import json
from pathlib import Path

import _stack  # noqa: F401
import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.checks import check_sections, check_seeds
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.engine.pixels import frozen_inputs
from detco_mm.evaluation.frozen import accuracies, object_crops, object_images, stage_features
from detco_mm.visualization.figures import STAGES
from detco_mm.weights import load_backbone

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='pre-training config')
    parser.add_argument('backbone', nargs='?', help='checkpoint of a run, or backbone')
    parser.add_argument('--data', default='data/embedded', help='default: %(default)s')
    parser.add_argument('--split', default='test', help='split to classify; default: %(default)s')
    parser.add_argument('--size', type=int, default=64, help='side of the crops, in pixels; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of a backbone without weights; default: %(default)s')
    parser.add_argument('--out', help='JSON file for the accuracies')
    args = parser.parse_args()
    with said_in_one_line():
        if args.size < 1:
            raise ValueError(f'--size {args.size}: it is the side of the crops, in pixels, at least 1')
        config = read_config(args.config)
        check_sections(config, ())
        check_seeds([args.seed])
        if args.backbone:
            load_checkpoint(args.backbone)  # which says what is wrong with it, before anything takes time
        init_default_scope('mmselfsup')
        torch.manual_seed(args.seed)
        train_images = object_images(Path(args.data, 'annotations/instances_train.json'), Path(args.data, 'train'))
        inputs = frozen_inputs(config, args.backbone, train_images)
        backbone = load_backbone(inputs.backbone, args.backbone)
        backbone.to(get_device())
        sets = {}
        for split in ('train', args.split):
            annotations = Path(args.data, f'annotations/instances_{split}.json')
            crops, labels = object_crops(annotations, Path(args.data, split), args.size, pixels=inputs.pixels)
            features = stage_features(backbone, crops, inputs.mean, inputs.std)
            sets[split] = features, labels
        found = {}
        for stage in STAGES:
            (train, train_labels), (test, labels) = ((sets[s][0][stage], sets[s][1]) for s in ('train', args.split))
            scores = accuracies(train, train_labels, test, labels)
            found |= {f'{name}_{stage}': score for name, score in scores.items()}
            print(f'{stage}: ' + ', '.join(f'{name} {100 * score:.1f} %' for name, score in scores.items()), flush=True)
        if args.out:
            write_atomically(args.out, json.dumps(found))
