"""kNN and linear accuracy of a frozen backbone on the annotated objects of a COCO-format set.

    python tools/eval_frozen.py CONFIG [BACKBONE] [--data DIR] [--split test] [--out FILE]

CONFIG is a pre-training config, for its backbone and normalisation; BACKBONE any
checkpoint that holds one, without which it is as --seed draws it. --data holds train/, SPLIT/ and
annotations/instances_{train,SPLIT}.json, as tools/make_data.py writes them.
"""

import argparse
import json
from pathlib import Path

import _stack  # noqa: F401
import torch
from mmengine.device import get_device

from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.evaluation.frozen import accuracies, object_crops, stage_features
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
        model = read_config(args.config).model
        torch.manual_seed(args.seed)
        backbone = load_backbone(model.backbone, args.backbone)
        backbone.to(get_device())
        sets = {}
        for split in ('train', args.split):
            annotations = Path(args.data, f'annotations/instances_{split}.json')
            crops, labels = object_crops(annotations, Path(args.data, split), args.size)
            features = stage_features(backbone, crops, model.data_preprocessor.mean, model.data_preprocessor.std)
            sets[split] = features, labels
        found = {}
        for stage in STAGES:
            (train, train_labels), (test, labels) = ((sets[s][0][stage], sets[s][1]) for s in ('train', args.split))
            scores = accuracies(train, train_labels, test, labels)
            found |= {f'{name}_{stage}': score for name, score in scores.items()}
            print(f'{stage}: ' + ', '.join(f'{name} {100 * score:.1f} %' for name, score in scores.items()), flush=True)
        if args.out:
            Path(args.out).write_text(json.dumps(found))
