"""Top-1 and top-5 accuracy of weighted nearest neighbours on a frozen backbone's features, ImageNet.

    python tools/eval_knn.py CONFIG [BACKBONE] [--k 10 20 100 200] [--out FILE] [--cfg-options KEY=VALUE ...]

CONFIG is that of the linear evaluation, configs/mmcls/resnet50_linear-8xb32-steplr-100e_imagenet.py: its training
images are the neighbours, its validation images are classified, both as its validation pipeline shows them. BACKBONE is
any checkpoint that holds one, without which it is as --seed draws it.
"""

import argparse
import json

import _stack  # noqa: F401
import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmselfsup.evaluation.functional import knn_eval
from torch import nn

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.checks import check_sections
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.engine.options import read_options
from detco_mm.engine.pixels import settle_frozen_readers
from detco_mm.evaluation.features import extract
from detco_mm.weights import load_backbone

MIN_IMAGES = 100  # knn_eval cuts what it classifies into a hundred parts

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the linear evaluation')
    parser.add_argument('backbone', nargs='?', help='checkpoint of a run, or backbone')
    # Choices and temperature are those of MMSelfSup's benchmark, after Wu et al. (arXiv 1805.01978).
    parser.add_argument('--k', nargs='+', type=int, default=[10, 20, 100, 200], help='neighbours; default: %(default)s')
    parser.add_argument('--temperature', type=float, default=0.07, help='of the votes; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of a backbone without weights; default: %(default)s')
    parser.add_argument('--out', help='JSON file for the results')
    parser.add_argument('--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE', help='override settings')
    args = parser.parse_args()
    with said_in_one_line():
        config = read_config(args.config)
        config.merge_from_dict(read_options(args.cfg_options or (), config))
        check_sections(config, ('train_dataloader', 'val_dataloader'))
        init_default_scope('mmcls')
        settle_frozen_readers(config, args.backbone)
        torch.manual_seed(args.seed)
        backbone = load_backbone(config.model.backbone, args.backbone)
        neighbours = dict(
            config.val_dataloader,
            dataset=config.train_dataloader.dataset | {'pipeline': config.val_dataloader.dataset.pipeline},
        )
        loaders = [Runner.build_dataloader(loader) for loader in (neighbours, config.val_dataloader)]
        train, test = (loader.dataset for loader in loaders)
        if len(test) < MIN_IMAGES:
            raise ValueError(f'{len(test)} images to classify: the accuracy needs at least {MIN_IMAGES}')
        if max(args.k) > len(train):
            raise ValueError(f'--k {max(args.k)} is more than the {len(train)} training images: give a smaller one')
        data = []
        for loader in loaders:
            print(f'features of {len(loader.dataset)} images, in batches', flush=True)
            pooled = extract(backbone, loader, config.data_preprocessor, {3: nn.AdaptiveAvgPool2d(1)})[3]
            data += [pooled, torch.as_tensor(loader.dataset.get_gt_labels())]
        data = [tensor.to(get_device()) for tensor in data]
        found = {}
        for k in args.k:
            # Five classes at least, for it ranks the first five.
            top1, top5 = knn_eval(*data, k, args.temperature, num_classes=max(5, len(train.CLASSES)))
            found[k] = {'top1': top1, 'top5': top5}
            print(f'{k} neighbours: top-1 {top1:.2f} %, top-5 {top5:.2f} %', flush=True)
        if args.out:
            write_atomically(args.out, json.dumps(found))
