"""Options mean what was typed, and none is lost in silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from detco_mm.engine.options import read_options
from tests.integration.small_run import CONFIG, ROOT

PRETRAIN = Config.fromfile(ROOT / CONFIG)
DETECTOR = Config.fromfile(ROOT / 'configs/mini/mask-rcnn_r18_fpn_embedded.py')


def value(text, cfg=PRETRAIN):
    (found,) = read_options([text], cfg).values()
    return found


@given(st.text(st.characters(blacklist_categories=['Cs'], blacklist_characters='\'"'), min_size=1))
def test_a_folder_is_taken_to_the_letter(name):
    assert value(f'data.root={name}') == (None if name == 'None' else name)
    assert value(f'load_from={name}') == (None if name == 'None' else name) or name[0] in '[('


@pytest.mark.parametrize('quoted', ['"my images"', "'my images'", 'my images'])
def test_quotes_around_a_value_are_the_shells(quoted):
    assert value(f'data.root={quoted}') == 'my images'


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('8', 8),
        ('1e-3', 1e-3),
        ('True', True),
        ('false', False),
        ('None', None),
        ('res2,res5', ['res2', 'res5']),
        ('[8,16]', [8, 16]),
        ('(8, 16)', (8, 16)),
        ('[(a,b),(c,d)]', [('a', 'b'), ('c', 'd')]),
        ('[my images, yours]', ['my images', 'yours']),
        ("{'depth': 34}", {'depth': 34}),
        ('[]', []),
    ],
)
def test_other_values_are_read_as_mmengine_reads_them(text, expected):
    found = value(f'model.compile_backbone={text}')
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ('option', 'nearest'),
    [
        ('data.rot', 'data.root'),
        ('batch_size', 'train_dataloader.batch_size'),
        ('lr', 'optim_wrapper.optimizer.lr'),
        ('seed', 'randomness.seed'),
        ('model.queue_length', 'model.queue_len'),
        ('model.backbone.stem_chanels', 'model.backbone.stem_channels'),
        ('train_dataloader.dataset.pipeline.0.globl_size', 'train_dataloader.dataset.pipeline.0.global_size'),
        ('default_hooks.watchdogg.timeout', 'default_hooks.watchdog.timeout'),
        ('default_hooks.watchdog.timout', 'default_hooks.watchdog.timeout'),
        ('optim_wrapper.optimizer.learning_rate', 'optim_wrapper.optimizer.lr'),
        ('randomness.sed', 'randomness.seed'),
        ('train_cfg.max_epoch', 'train_cfg.max_epochs'),
        ('train_pipeline.0.global_size', 'train_dataloader.dataset.pipeline.0.global_size'),
    ],
)
def test_an_option_that_nothing_reads_is_refused_with_the_nearest_that_exists(option, nearest):
    with pytest.raises(ValueError, match=rf'--cfg-options {option}: nothing reads it.* {nearest}$'):
        read_options([f'{option}=1'], PRETRAIN)


@pytest.mark.parametrize(
    'option',
    [
        'model.queue_dtype=float16',  # an argument of its class that the config leaves at its default
        'model.backbone.frozen_stages=1',
        'train_dataloader.dataset.indices=5',  # of the class above its class
        'optim_wrapper.clip_grad.max_norm=1',  # within an argument
        'optim_wrapper.paramwise_cfg.norm_decay_mult=0',
        'default_hooks.watchdog=None',
        'default_hooks.mine.type=EMAHook',
        'param_scheduler.1.T_max=3',
        'train_dataloader.prefetch_factor=2',
        'resume=True',
    ],
)
def test_what_a_class_takes_is_no_mistake(option):
    assert list(read_options([option], PRETRAIN)) == [option.partition('=')[0]]


@pytest.mark.parametrize(
    'option',
    [
        'model.test_cfg.rcnn.score_thr=0.1',
        'train_dataloader.dataset.metainfo.classes=(a,b)',
        'train_cfg.max_iters=4',
        'default_hooks.checkpoint.save_best=auto',
    ],
)
def test_nor_is_it_in_a_detector(option):
    assert read_options([option], DETECTOR)


def test_a_detectors_own_variable_is_named_with_the_setting_that_has_its_value():
    with pytest.raises(ValueError, match=r'data_root: nothing reads it, .*: set train_dataloader.dataset.data_root'):
        read_options(['data_root=x'], DETECTOR)


def test_together_with_that_setting_it_does_no_harm():
    assert read_options(['data_root=x', 'train_dataloader.dataset.data_root=x'], DETECTOR)


def test_an_index_beyond_a_list_is_refused():
    with pytest.raises(ValueError, match='param_scheduler is a list of 2, counted from 0'):
        read_options(['param_scheduler.2.T_max=3'], PRETRAIN)


def test_epochs_have_a_short_name():
    assert read_options(['max_epochs=3'], PRETRAIN) == {'train_cfg.max_epochs': 3}


def test_the_arguments_of_another_class_are_known_with_its_type():
    cfg = Config.fromfile(ROOT / 'configs/mini/detco_r18.py')
    texts = ['optim_wrapper.optimizer.type=SGD', 'optim_wrapper.optimizer.momentum=0.9']
    assert read_options(texts, cfg) == {'optim_wrapper.optimizer.type': 'SGD', 'optim_wrapper.optimizer.momentum': 0.9}
    with pytest.raises(ValueError, match='optim_wrapper.optimizer.momentum: nothing reads it'):
        read_options(texts[1:], cfg)
    with pytest.raises(ValueError, match='optim_wrapper.optimizer.momentums: nothing reads it'):
        read_options([texts[0], 'optim_wrapper.optimizer.momentums=0.9'], cfg)
