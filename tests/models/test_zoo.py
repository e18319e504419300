"""Each backbone of the zoo: trained, resumed, exported, in a detector; on one process."""

import copy

import pytest
import timm
import torch
from mmengine.registry import MODELS, DefaultScope

from detco_mm.registry import STAGES
from detco_mm.weights import export_backbone
from tests.models.zoo import SMALL, bare, build, save, step, views


@pytest.fixture(scope='module', params=SMALL)
def stepped(request):
    """A name of the zoo, and DetCo on it after a step of SGD."""
    model = build(SMALL[request.param])
    losses = step(model, views())
    assert {f'loss_{pair}_{stage}' for pair in ('g2g', 'l2l', 'l2g') for stage in STAGES} <= set(losses)
    torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.01).step()
    return request.param, model


def test_a_step_trains_every_weight_that_is_not_frozen(stepped):
    name, model = stepped
    trained = {weight_name: weight for weight_name, weight in model.named_parameters() if weight.requires_grad}
    assert not [weight_name for weight_name, weight in trained.items() if weight.grad is None]
    assert all(torch.isfinite(weight.grad).all() for weight in trained.values())
    frozen = sum(not weight.requires_grad for weight in model.backbone.parameters())
    assert frozen <= 0.1 * sum(1 for _ in model.backbone.parameters())
    assert set(model.backbone.state_dict()) == set(bare(SMALL[name]).state_dict())


def test_a_checkpoint_resumes(stepped, tmp_path):
    name, model = stepped
    torch.save(model.state_dict(), tmp_path / 'checkpoint.pth')
    resumed = build(SMALL[name])
    resumed.load_state_dict(torch.load(tmp_path / 'checkpoint.pth', weights_only=True))
    going_on = copy.deepcopy(model)
    found = []
    for each in (going_on, resumed):
        each.zero_grad()
        torch.manual_seed(2)  # of dropped paths
        found.append((step(each, views(seed=2)), each.state_dict()))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_an_export_fits_the_detectors_own_class_which_trains_from_it(stepped, tmp_path):
    pytest.importorskip('mmdet')
    from tests.models.tiny_detector import two_iterations

    name, model = stepped
    save(tmp_path / 'checkpoint.pth', SMALL[name], model.state_dict(), prefix='')
    exported = export_backbone(tmp_path / 'checkpoint.pth', tmp_path / 'backbone.pth')
    assert exported['meta']['verified']['deviation'] == 0
    target = the_detectors(SMALL[name])
    target.load_state_dict(torch.load(tmp_path / 'backbone.pth', weights_only=True)['state_dict'], strict=True)
    backbone = copy.deepcopy(model.backbone)
    with torch.no_grad():
        for training in (True, False):
            found = []
            for module in (target, backbone):
                module.train(training)
                torch.manual_seed(3)
                found.append(list(module(views()[0])))
            torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    losses = two_iterations(target, [stage_map.shape[1] for stage_map in found[0]])
    assert len(losses) == 2 and all(0 < loss < float('inf') for loss in losses)


def the_detectors(backbone):
    """A backbone by the class that a detector has for it."""
    config = dict(backbone)
    if config.pop('type') == 'mmcls.TIMMBackbone':
        return timm.create_model(**config)
    library, _, kind = backbone['type'].rpartition('.')
    if 'expansion' in config:  # of MMClassification's alone
        library, config['out_indices'] = 'mmcls', (0, 1, 2, 3)
    elif not library:  # MMSelfSup's
        library = 'mmdet'
        config.update(norm_eval=False, out_indices=(0, 1, 2, 3))  # which count no stem
        if 'width_per_group' in config:
            config['base_width'] = config.pop('width_per_group')
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(dict(config, type=f'{library}.{kind}'))
