"""Weights that a run is told to start from arrive in both encoders, or the run stops before its first step."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from detco_mm.engine import launch
from detco_mm.weights import start_pretraining
from tests.engine.hooks.runs import log
from tests.engine.test_launch import OPTIONS, narrow
from tests.integration.small_run import CONFIG, ROOT, photographs


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 4)


@pytest.fixture(scope='module')
def model(images, tmp_path_factory):
    """The config's model, as its initialisation draws it."""
    init_default_scope('mmselfsup')
    model = MODELS.build(narrow(ROOT / CONFIG, images, tmp_path_factory.mktemp('model')).model)
    model.init_weights()
    return model


@pytest.fixture
def file(model, tmp_path):
    """Return a function that writes the backbone's weights below a prefix."""

    def write(prefix='', **others):
        weights = {f'{prefix}{name}': tensor for name, tensor in model.backbone.state_dict().items()}
        torch.save({'state_dict': weights | others}, tmp_path / 'weights.pth')
        return str(tmp_path / 'weights.pth')

    return write


def train(work_dir, images, options=None, **arguments):
    cfg = launch.read_config(CONFIG, ROOT, str(work_dir))
    cfg.experiment_name = str(work_dir)
    launch.train(cfg, {**OPTIONS, 'train_cfg.max_epochs': 1, 'data.root': str(images), **(options or {})}, **arguments)


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.encoder_q.', 'model._orig_mod.encoder.'])
def test_both_encoders_start_from_a_file_that_names_its_backbone_in_any_way(prefix, model, file, images, tmp_path):
    cfg = narrow(ROOT / CONFIG, images, tmp_path / 'run')
    cfg.model.start_from = file(prefix, **{'fc.weight': torch.zeros(2, 2)})
    started = MODELS.build(cfg.model)
    started.init_weights()
    for name, tensor in model.backbone.state_dict().items():
        for encoder in (started.backbone, started.key_encoder.backbone):
            assert torch.equal(encoder.state_dict()[name], tensor), name
    assert not torch.equal(next(started.neck.parameters()), next(model.neck.parameters()))


def test_projections_come_along_if_they_are_asked_for_and_fit(model, images, tmp_path):
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'run.pth')
    cfg = narrow(ROOT / CONFIG, images, tmp_path)
    cfg.model.start_from = dict(type='detco_mm.StartFrom', checkpoint=str(tmp_path / 'run.pth'), projections=True)
    started = MODELS.build(cfg.model)
    started.init_weights()
    for name, tensor in model.neck.state_dict().items():
        assert torch.equal(started.neck.state_dict()[name], tensor)
        assert torch.equal(started.key_encoder.neck.state_dict()[name], tensor)
    cfg.model.neck.out_channels = 8
    with pytest.raises(
        ValueError, match=r'projections from .*weights of DetCoNeck are missing .*, or of another shape'
    ):
        MODELS.build(cfg.model).init_weights()


def test_the_option_trains_and_the_log_says_what_was_taken(file, images, tmp_path):
    path = file('module.encoder_q.', **{'module.encoder_q.fc.weight': torch.zeros(2, 2)})
    train(tmp_path / 'run', images, start=path)
    assert f'backbone from "{path}": 120 tensors from state_dict, below "module.encoder_q."; left: fc.weight' in log(
        tmp_path / 'run'
    )
    assert f'M parameters, from {path}' in log(tmp_path / 'run')
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    # the finished run goes on without the file that it started from
    train(tmp_path / 'run', images, {'train_cfg.max_epochs': 2, 'model.start_from': 'gone.pth'}, resume='auto')
    assert (tmp_path / 'run/epoch_2.pth').is_file()


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'encoder.'])
@pytest.mark.parametrize('plain', [False, True], ids=['tool', 'plain Runner'])
def test_load_from_with_a_backbone_alone_stops(prefix, plain, file, images, tmp_path):
    path = file(prefix)
    with pytest.raises(ValueError, match=r'weights of DetCo are missing.*--from FILE'):
        if plain:
            cfg = narrow(ROOT / CONFIG, images, tmp_path / 'run')
            cfg.load_from = path
            Runner.from_cfg(cfg).train()
        else:
            train(tmp_path / 'run', images, {'load_from': path})
    assert not (tmp_path / 'run/epoch_1.pth').exists()


@pytest.mark.parametrize('prefix', ['backbone.', 'module.encoder_q.'])
def test_init_cfg_with_a_file_of_which_nothing_is_taken_stops(prefix, file, images, tmp_path):
    cfg = narrow(ROOT / CONFIG, images, tmp_path / 'run')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=file(prefix))
    message = f'model.backbone.init_cfg: 20 of 20 .* would be left random. They are in state_dict, below "{prefix}"'
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(cfg).train()


def test_init_cfg_that_is_right_trains(file, images, tmp_path):
    for at, (prefix, given) in enumerate([('', {}), ('backbone.', {'prefix': 'backbone.'})]):
        cfg = narrow(ROOT / CONFIG, images, tmp_path / f'run{at}')
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=file(prefix), **given)
        Runner.from_cfg(cfg).train()
        assert (tmp_path / f'run{at}/epoch_1.pth').is_file()


def test_weights_alone_cannot_be_resumed(file, images, tmp_path):
    with pytest.raises(ValueError, match=r'holds weights alone.*--from'):
        train(tmp_path / 'run', images, resume=file('backbone.'))


def test_from_is_refused_for_other_models_than_detco(file, tmp_path):
    cfg = Config(dict(model=dict(type='MaskRCNN')))
    with pytest.raises(ValueError, match='the config has MaskRCNN'):
        start_pretraining(cfg, file())
