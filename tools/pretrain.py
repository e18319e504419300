"""Pre-train a backbone on a folder of images, and export it: one command.

    python tools/pretrain.py IMAGES --backbone resnet50 --from resnet50.pth --out work_dirs/mine

What depends on the images and the machine is chosen, and written with its reasons into OUT/pretrain.py, which is what
runs and the place to change it. The same command goes on after a stop. --backbone is resnet18, resnet50, rtmdet-s,
yolox-s, efficientnet-lite0, convnext-tiny or swin-tiny, or a config with model.backbone, a detector's for example.
"""

import argparse

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', help='folder of images, at any depth')
    parser.add_argument('--backbone', default='resnet50', help='name, or config that has one; default: %(default)s')
    parser.add_argument('--from', metavar='FILE', dest='weights', help='any file that holds it, to start from')
    parser.add_argument('--out', default='work_dirs/pretrained', help='default: %(default)s')
    parser.add_argument('--list', default='', metavar='FILE', help='text file or COCO json with some of the images')
    parser.add_argument('--channels', type=int, help='of the images; default: what most have')
    parser.add_argument('--epochs', type=int, help='how often each image is seen')
    parser.add_argument('--batch-size', type=int, help='images on each GPU')
    parser.add_argument('--gpus', type=int, help='that the config is for; with --config-only and tools/dist_train.sh')
    parser.add_argument('--config-only', action='store_true', help='write the config, and stop there')
    args = parser.parse_args()
    import _stack  # noqa: F401  (not before: the stack takes seconds to import)

    from detco_mm.engine.errors import said_in_one_line
    from detco_mm.planning import pretrain

    with said_in_one_line():
        pretrain(
            args.images,
            args.backbone,
            args.weights,
            args.out,
            listed=args.list,
            channels=args.channels,
            epochs=args.epochs,
            batch_size=args.batch_size,
            gpus=args.gpus,
            train=not args.config_only,
        )
