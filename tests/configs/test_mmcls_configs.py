"""The evaluations of frozen features against the recipes that they follow."""

from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs/mmcls'


def plain(path):
    """A config without the marks of the package that each dict came from."""

    def walk(node):
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items() if key != '_scope_'}
        return [walk(value) for value in node] if isinstance(node, list) else node

    return Config(walk(Config.fromfile(path)._cfg_dict.to_dict()))


def test_the_linear_classifier_is_trained_as_mocos():
    # He et al. (arXiv 1911.05722), section 4.1 and its released main_lincls.py
    config = plain(CONFIGS / 'resnet50_linear-8xb32-steplr-100e_imagenet.py')
    assert config.optim_wrapper.optimizer == dict(type='SGD', lr=30.0, momentum=0.9, weight_decay=0.0)
    assert config.train_cfg.max_epochs == 100
    assert config.param_scheduler == dict(type='MultiStepLR', by_epoch=True, milestones=[60, 80], gamma=0.1)
    assert config.train_dataloader.batch_size * 8 == config.auto_scale_lr.base_batch_size == 256
    assert config.model.backbone.frozen_stages == 4
    crop, flip = config.train_dataloader.dataset.pipeline[1:3]
    assert (crop.type, crop.scale, flip.type, flip.prob) == ('RandomResizedCrop', 224, 'RandomFlip', 0.5)
    resize, centre = config.val_dataloader.dataset.pipeline[1:3]
    assert (resize.scale, resize.edge, centre.crop_size) == (256, 'short', 224)
    assert config.data_preprocessor.mean == [123.675, 116.28, 103.53] and config.data_preprocessor.to_rgb


def test_svms_see_the_images_of_mmselfsups_benchmark():
    ours = Config.fromfile(CONFIGS / 'resnet50_svm_voc07.py')
    import mmselfsup

    base = Path(mmselfsup.__file__).parent / '.mim/configs/benchmarks/classification/svm_voc07.py'
    theirs = Config.fromfile(base).extract_pipeline
    for loader, split in ((ours.train_dataloader, 'trainval'), (ours.test_dataloader, 'test')):
        assert loader.dataset.image_set_path == f'ImageSets/Main/{split}.txt' and not loader.sampler.shuffle
        resizes = [(step.type.removeprefix('mmcls.'), step.scale) for step in theirs[1:3]]
        assert [(step.type, step.scale) for step in loader.dataset.pipeline[1:3]] == resizes
