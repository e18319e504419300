"""The reference implementation's state dicts; that training goes on as it would there, tests/models proves."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torchvision.models import resnet50

from detco_mm.weights import export_backbone, from_reference, read_backbone


def reference_encoder():
    """The reference's module names: torchvision's ResNet, its stages once more as a list, eight MLPs."""
    encoder = resnet50()
    del encoder.fc
    encoder.layers = nn.ModuleList([encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4])
    for scope, inputs in (('global', 1), ('local', 9)):
        mlps = nn.ModuleList(nn.Module() for _ in range(4))
        for mlp, channels in zip(mlps, (256, 512, 1024, 2048), strict=True):
            mlp.mlp = nn.Sequential(
                nn.Linear(inputs * channels, inputs * channels), nn.ReLU(), nn.Linear(inputs * channels, 128)
            )
        setattr(encoder, f'{scope}_mlps', mlps)
    return encoder


@pytest.fixture(scope='module')
def state_dict():
    with torch.device('meta'):
        encoders = [reference_encoder() for _ in range(2)]
        return {
            **{f'encoder_q.{k}': v for k, v in encoders[0].state_dict().items()},
            **{f'encoder_k.{k}': v for k, v in encoders[1].state_dict().items()},
            'queue': torch.empty(8, 128, 65536),
            'queue_ptr': torch.empty(1, dtype=torch.long),
        }


def test_the_reference_config_builds_what_a_full_checkpoint_loads_into_strictly(state_dict):
    config = Config.fromfile('configs/ablations/reference_r50_8xb32.py')
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        model = MODELS.build(config.model)
    result = model.load_state_dict(from_reference(state_dict), strict=True, assign=True)
    assert not result.missing_keys and not result.unexpected_keys
    # as counted in the reference
    local = sum(value.numel() for name, value in model.named_parameters() if name.startswith('neck.projections.local'))
    assert round(local / 1e6, 1) == 455.7


def test_what_is_no_reference_checkpoint_is_refused_by_name(state_dict):
    with pytest.raises(ValueError, match='no place for fc.weight'):
        from_reference({**state_dict, 'fc.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match='nothing for queue.pointer'):
        from_reference({k: v for k, v in state_dict.items() if k != 'queue_ptr'})
    with pytest.raises(ValueError, match=r'queue of shape \(128, 64\).*is it a checkpoint of MoCo'):
        from_reference({**state_dict, 'queue': torch.zeros(128, 64)})


def test_its_query_backbone_can_be_exported_directly(tmp_path):
    backbone = {f'module.encoder_q.{k}': v for k, v in resnet50().state_dict().items() if not k.startswith('fc')}
    extra = {'module.encoder_q.global_mlps.0.mlp.0.weight': torch.zeros(1), 'module.queue_ptr': torch.zeros(1)}
    torch.save({'epoch': 1, 'state_dict': backbone | extra}, tmp_path / 'checkpoint_0000.pth.tar')
    export_backbone(tmp_path / 'checkpoint_0000.pth.tar', tmp_path / 'backbone.pth')
    assert set(read_backbone(tmp_path / 'backbone.pth')) == {k.removeprefix('module.encoder_q.') for k in backbone}
