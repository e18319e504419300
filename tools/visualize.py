"""Look at views, features and training: PNG files, and index.html that holds them.

    python tools/visualize.py configs/detco_r50_8xb32.py --out work_dirs/pictures \
        --images dog.jpg another_dog.jpg --point 0.5 0.4 --checkpoints random work_dirs/detco_r50_8xb32/epoch_200.pth \
        --run work_dirs/detco_r50_8xb32 --objects data/coco/annotations/instances_val2017.json data/coco/val2017

Each part is drawn if what it needs is given:
    views       --images                  where the four views were cut, before and after augmentation, and the patches
    similarity  --images, --checkpoints   what in the last image resembles --point in the first, at each stage; on the
                                          page, a click chooses the point
    curves      --run                     loss and contrast accuracy of each pair and stage over time
    t-SNE       --objects, --checkpoints  features of the annotated objects of a COCO-format set

A checkpoint is that of a run, an exported backbone, one released by others, or `random`. Images are read and normalised
as it was trained on them, or else as the config says.
"""

import argparse
import random
from pathlib import Path

import _stack  # noqa: F401
import numpy as np
import torch
from mmengine.registry import init_default_scope

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.checks import check_sections, check_seeds
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.engine.pixels import frozen_inputs
from detco_mm.evaluation.frozen import object_crops, object_images, stage_features
from detco_mm.transforms.loading import read_file
from detco_mm.visualization import curves, embedding, inference, parts
from detco_mm.visualization.figures import STAGES
from detco_mm.visualization.report import Section, html_page
from detco_mm.weights import load_backbone

MIN_OBJECTS = 10  # for t-SNE


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='pre-training config')
    parser.add_argument('--out', default='work_dirs/pictures', help='folder to write to; default: %(default)s')
    parser.add_argument('--images', nargs='+', default=[], help='image files')
    parser.add_argument('--checkpoints', nargs='+', default=[], help='two or more, drawn side by side')
    parser.add_argument('--point', nargs=2, type=float, default=[0.5, 0.5], metavar=('X', 'Y'), help='0 to 1')
    parser.add_argument('--run', help='work directory of a pre-training run')
    parser.add_argument('--objects', nargs=2, metavar=('JSON', 'FOLDER'), help='annotations and images')
    parser.add_argument('--stage', default='res5', choices=STAGES, help='of t-SNE; default: %(default)s')
    parser.add_argument('--most', type=int, default=1500, help='objects in the t-SNE at most; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if not (args.images or args.run or (args.objects and args.checkpoints)):
        parser.error('nothing to draw: give --images, --run, or --objects with --checkpoints')
    return args


def main() -> None:
    """Draw what the command line asks for."""
    args = parse()
    config = read_config(args.config)
    check_sections(config, ['train_dataloader'])
    check_seeds([args.seed])
    if args.most < MIN_OBJECTS:
        raise ValueError(f'--most {args.most}: it is a number of objects, at least {MIN_OBJECTS}')
    if args.run:
        parts.logged_rows(args.run)
    for path in args.checkpoints:
        if path != 'random':
            load_checkpoint(path)  # which says what is wrong with it, before anything takes time
    for path in args.images:
        read_file(path)
    init_default_scope('mmselfsup')
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    random.seed(args.seed)
    looked_at = args.images or (object_images(*args.objects) if args.objects else [])
    models = {}
    for name, path in zip(parts.checkpoint_names(args.checkpoints), args.checkpoints, strict=True):
        weights = None if path == 'random' else path
        inputs = frozen_inputs(config, weights, looked_at)
        models[name] = load_backbone(inputs.backbone, weights), inputs
    sections = []
    if args.images:
        pixels = frozen_inputs(config, None, args.images).pixels
        images = {path: path for path in args.images}
        sections.append(parts.views_section(config.train_dataloader.dataset.get('pipeline'), images, pixels))
    if args.images and models:
        frozen = {name: (backbone, read.pixels, read.mean, read.std) for name, (backbone, read) in models.items()}
        point = (args.point[0], args.point[1])
        sections += parts.similarity_sections(frozen, args.images[0], args.images[-1], point)
    if args.run:
        sections.append(Section('Training', pictures=curves.pretraining_curves(parts.logged_rows(args.run))))
    if args.objects and models:
        features, chosen, cut_out = {}, None, {}
        for name, (backbone, inputs) in models.items():
            read_as = str(inputs.pixels.settings())  # most checkpoints see the same pixels
            if read_as not in cut_out:
                cut_out[read_as] = object_crops(*args.objects, size=64, pixels=inputs.pixels)
            crops, labels = cut_out[read_as]
            if chosen is None:
                chosen = np.sort(np.random.permutation(len(crops))[: args.most])
            features[name] = stage_features(backbone, crops[chosen], inputs.mean, inputs.std)[args.stage]
        names = inference.category_names(args.objects[0])
        picture = embedding.tsne_picture(features, labels[chosen], names, args.seed)
        caption = f't-SNE of {args.stage} features of {len(chosen)} annotated objects.'
        sections.append(Section('Features of objects', pictures={caption: picture}, wide=True))

    out = Path(args.out)
    for section in sections:
        stem = section.title.lower().replace(' ', '-')
        for at, picture in enumerate(section.pictures.values()):
            path = out / f'{stem}{f"-{at + 1}" if len(section.pictures) > 1 else ""}.png'
            write_atomically(path, picture)
            print(path)
    page = out / 'index.html'
    write_atomically(page, html_page('DetCo pictures', [Section('DetCo pictures', [args.config]), *sections]))
    print(page)


if __name__ == '__main__':
    with said_in_one_line():
        main()
