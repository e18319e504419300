"""mAP of linear SVMs on a frozen backbone's features, VOC07, on all labels and on a few.

    python tools/eval_svm.py CONFIG [BACKBONE] [--stages res5] [--low-shot] [--out FILE] [--cfg-options KEY=VALUE ...]

CONFIG is configs/mmcls/resnet50_svm_voc07.py or one like it; BACKBONE any checkpoint that holds one, without which it
is as --seed draws it.
"""

import argparse
import json
import os

import _stack  # noqa: F401
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmselfsup.models.utils import MultiPooling

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.checks import check_sections
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.engine.options import read_options
from detco_mm.engine.pixels import settle_frozen_readers
from detco_mm.evaluation.features import extract
from detco_mm.evaluation.svm import SAMPLES, SHOTS, full, low_shot, voc_labels
from detco_mm.visualization.figures import STAGES
from detco_mm.weights import load_backbone

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with the backbone, train_dataloader and test_dataloader')
    parser.add_argument('backbone', nargs='?', help='checkpoint of a run, or backbone')
    parser.add_argument('--stages', nargs='+', choices=STAGES, default=['res5'], help='default: %(default)s')
    parser.add_argument('--low-shot', action='store_true', help='also on a few labels')
    parser.add_argument(
        '--shots', nargs='+', type=int, default=SHOTS, help='labels of each class; default: %(default)s'
    )
    parser.add_argument('--samples', type=int, default=SAMPLES, help='draws of few labels; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of draws and random backbones; default: %(default)s')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes; default: %(default)s')
    parser.add_argument('--out', help='JSON file for the results')
    parser.add_argument('--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE', help='override settings')
    args = parser.parse_args()
    with said_in_one_line():
        config = read_config(args.config)
        config.merge_from_dict(read_options(args.cfg_options or (), config))
        check_sections(config, ('train_dataloader', 'test_dataloader'))
        init_default_scope('mmcls')
        settle_frozen_readers(config, args.backbone)
        torch.manual_seed(args.seed)
        backbone = load_backbone(config.model.backbone, args.backbone)
        # Windows that leave 8,000 to 9,000 numbers of an image of 224 pixels; the first of the five is the stem's.
        indices = [STAGES.index(stage) for stage in args.stages]
        pools = dict(zip(indices, MultiPooling('specified', [i + 1 for i in indices]).pools, strict=True))
        sets = []
        for loader in (config.train_dataloader, config.test_dataloader):
            loader = Runner.build_dataloader(loader)
            print(f'features of {len(loader.dataset)} images, in batches', flush=True)
            sets.append((extract(backbone, loader, config.data_preprocessor, pools), voc_labels(loader.dataset)))
        (train, train_labels), (test, test_labels) = sets
        found: dict[str, dict] = {}
        for stage, index in zip(args.stages, indices, strict=True):
            data = train[index].numpy(), train_labels, test[index].numpy(), test_labels
            found[stage] = {'all': (precisions := full(*data, jobs=args.jobs)).tolist()}
            print(f'{stage}: mAP {100 * precisions.mean():.2f} with all labels', flush=True)
            if args.low_shot:
                few = low_shot(*data, args.shots, samples=args.samples, seed=args.seed, jobs=args.jobs)
                found[stage]['low_shot'] = {k: values.tolist() for k, values in few.items()}
        if args.out:
            write_atomically(args.out, json.dumps(found))
