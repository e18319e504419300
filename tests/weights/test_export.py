"""From a pre-training checkpoint to MMDetection's ResNet."""

import pickle
import sys

import pytest
import torch
from mmdet.models.backbones import ResNet as DetectionResNet
from mmselfsup.models.backbones import ResNet

from detco_mm.weights import export_backbone, read_backbone, verify_backbone
from tests.integration import forked


@pytest.fixture(params=[18, 50])
def pretrained(request, tmp_path):
    """A checkpoint with a query and a key backbone whose BN statistics are those of a trained one: not 0 and 1."""
    torch.manual_seed(request.param)
    query, key = (ResNet(request.param, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4)) for _ in range(2))
    for backbone in (query, key):
        backbone.train()
        backbone(torch.randn(4, 3, 64, 64))
    state_dict = {f'backbone.{k}': v for k, v in query.state_dict().items()}
    state_dict |= {f'key_encoder.backbone.{k}': v for k, v in key.state_dict().items()}
    state_dict |= {'queue.keys': torch.zeros(8, 4, 2), 'neck.projections.global.res2.0.weight': torch.zeros(2, 2)}
    torch.save(dict(state_dict=state_dict, meta=dict(epoch=3, iter=90)), tmp_path / 'epoch_3.pth')
    return request.param, dict(query=query, key=key), tmp_path / 'epoch_3.pth'


@pytest.mark.parametrize('encoder', ['query', 'key'])
def test_the_exported_backbone_gives_mmdetection_the_same_features_bit_for_bit(pretrained, encoder):
    depth, backbones, checkpoint = pretrained
    out = checkpoint.with_name('backbone.pth')
    exported = export_backbone(checkpoint, out, encoder)
    assert exported['meta']['encoder'] == encoder and exported['meta']['epoch'] == 3
    detection = DetectionResNet(
        depth,
        frozen_stages=-1,
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint=str(out)),
    )
    detection.init_weights()
    own = torch.load(out, weights_only=True)['state_dict']
    assert set(own) == set(detection.state_dict())
    image = torch.randn(2, 3, 96, 64)
    for mode in (True, False):
        for backbone in (backbones[encoder], detection):
            backbone.train(mode)
        pair = backbones[encoder](image), detection(image)
        assert len(pair[0]) == len(pair[1]) == 4
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(*pair, strict=True))


def test_an_altered_file_is_recognised(pretrained):
    out = pretrained[2].with_name('backbone.pth')
    export_backbone(pretrained[2], out)
    exported = torch.load(out, weights_only=True)
    exported['state_dict']['conv1.weight'][0, 0, 0, 0] += 1
    torch.save(exported, out)
    with pytest.raises(ValueError, match='SHA-256 differs'):
        read_backbone(out)


def test_keys_that_do_not_fit_are_listed():
    backbone = ResNet(18, norm_cfg=dict(type='BN'))
    state_dict = backbone.state_dict()
    del state_dict['conv1.weight']
    state_dict['fc.weight'] = torch.zeros(2)
    state_dict['bn1.weight'] = torch.zeros(3)
    with pytest.raises(ValueError) as caught:
        verify_backbone(state_dict, backbone)
    assert all(name in str(caught.value) for name in ('conv1.weight', 'fc.weight', 'bn1.weight'))


class Evil:
    def __reduce__(self):
        return exec, ('raise SystemExit("executed")',)


def test_what_is_no_checkpoint_is_refused_with_a_reason(tmp_path):
    out = tmp_path / 'out.pth'
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        export_backbone(tmp_path / 'absent.pth', out)
    (tmp_path / 'evil.pth').write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match='evil.pth" is not a checkpoint that loads safely'):
        export_backbone(tmp_path / 'evil.pth', out)
    torch.save(dict(state_dict={'head.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth": no ResNet is in it, .*head.weight.*--config CONFIG'):
        export_backbone(tmp_path / 'other.pth', out)
    with pytest.raises(ValueError, match="encoder='teacher' is unknown"):
        export_backbone(tmp_path / 'other.pth', out, 'teacher')
    assert not out.exists()


def test_the_command_says_what_it_wrote_and_how_that_was_tried(pretrained):
    command = [sys.executable, 'tools/export_backbone.py', pretrained[2], pretrained[2].with_name('b.pth')]
    done = forked.run(command)
    assert done.returncode == 0 and 'tensors, SHA-256' in done.stdout
    assert 'for mmdet: mmdet.ResNet; maps of an image differ by 0 of their largest value' in done.stdout
    done = forked.run([*command[:2], 'absent.pth', 'b.pth'])
    assert done.returncode == 1
    assert done.stderr.startswith('FileNotFoundError: no checkpoint at "absent.pth"')
    assert done.stderr.count('\n') == 1
