"""Backbones for other libraries: loaded there, they give the same features."""

import pickle
import re

import pytest
import timm
import torch
import torchvision
from mmselfsup.models.backbones import ResNet

from detco_mm.weights import export_backbone, is_exported, load_checkpoint, read_backbone


@pytest.fixture(scope='module', params=[18, 50])
def run(request, tmp_path_factory):
    """Depth, backbone and checkpoint of a run, with BN statistics that are not those of the start."""
    torch.manual_seed(request.param)
    backbone = ResNet(request.param, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4))
    backbone.train()
    backbone(torch.randn(4, 3, 64, 64))
    backbone.eval()
    path = tmp_path_factory.mktemp('run') / 'epoch_2.pth'
    meta = dict(epoch=2, iter=60, experiment_name=f'detco_r{request.param}_20261124_010203', cfg='model = dict()')
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in backbone.state_dict().items()}, meta=meta), path)
    return request.param, backbone, path


def torchvision_maps(model, image):
    hidden, maps = model.maxpool(model.relu(model.bn1(model.conv1(image)))), []
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        maps.append(hidden := layer(hidden))
    return maps


def load(path):
    return load_checkpoint(path)['state_dict']


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_torchvision_gives_the_same_features(run, suffix, tmp_path):
    depth, backbone, checkpoint = run
    export_backbone(checkpoint, tmp_path / f'out{suffix}', to='torchvision')
    model = getattr(torchvision.models, f'resnet{depth}')()
    result = model.load_state_dict(load(tmp_path / f'out{suffix}'), strict=False)
    assert result.missing_keys == ['fc.weight', 'fc.bias'] and not result.unexpected_keys
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        for ours, theirs in zip(backbone(image), torchvision_maps(model.eval(), image), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_timm_gives_the_same_features(run, suffix, tmp_path):
    depth, backbone, checkpoint = run
    export_backbone(checkpoint, tmp_path / f'out{suffix}', to='timm')
    # as its users do it
    model = timm.create_model(f'resnet{depth}', num_classes=0, checkpoint_path=str(tmp_path / f'out{suffix}')).eval()
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.forward_features(image), backbone(image)[-1], rtol=0, atol=1e-5)


# detectron2's documented names (modeling/backbone/resnet.py): a stem, res2..res5, a norm inside each convolution.
NORM = r'(weight|bias|running_mean|running_var|num_batches_tracked)'
DETECTRON2 = re.compile(rf'(stem\.conv1|res[2-5]\.\d+\.(conv[1-3]|shortcut))\.(weight|norm\.{NORM})')


@pytest.mark.parametrize('suffix', ['.pkl', '.pth', '.safetensors'])
def test_detectron2_gets_its_names_and_its_keys(run, suffix, tmp_path):
    depth, backbone, checkpoint = run
    path = tmp_path / f'out{suffix}'
    export_backbone(checkpoint, path, to='detectron2')
    if suffix == '.safetensors':
        named = load(path)
    else:
        content = pickle.loads(path.read_bytes()) if suffix == '.pkl' else torch.load(path, weights_only=True)
        # what its DetectionCheckpointer looks for
        assert content['__author__'] and content['matching_heuristics'] is True
        named = content['model']
    assert all(DETECTRON2.fullmatch(name) for name in named) and len(named) == len(backbone.state_dict())
    blocks = {name.rsplit('.', 1)[0] for name in named if re.fullmatch(r'res\d\.\d+\.conv1\.weight', name)}
    assert len(blocks) == {18: 8, 50: 16}[depth]
    assert tuple(named['stem.conv1.weight'].shape) == (64, 3, 7, 7)
    assert 'res3.0.shortcut.norm.running_var' in named and 'res5.1.conv2.norm.weight' in named
    back, own = read_backbone(path), backbone.state_dict()
    assert set(back) == set(own) and all(torch.equal(back[name], own[name]) for name in own)


def test_metadata_say_where_the_weights_come_from(run, tmp_path):
    depth, _, checkpoint = run
    for suffix in ('.pth', '.safetensors'):
        exported = export_backbone(checkpoint, tmp_path / f'out{suffix}')
        meta = load_checkpoint(tmp_path / f'out{suffix}')['meta']
        assert meta == exported['meta']
        assert (meta['config'], meta['epoch'], meta['iter']) == (f'detco_r{depth}', 2, 60)
        assert (meta['to'], meta['encoder'], meta['source']) == ('mmdet', 'query', 'epoch_2.pth')
        assert re.fullmatch('[0-9a-f]{12}(-dirty)?|unknown', meta['commit']) and len(meta['sha256']) == 64
    assert is_exported(tmp_path / 'out.pth') and not is_exported(tmp_path / 'out.safetensors')


@pytest.mark.parametrize(('to', 'suffix'), [('mmdet', '.safetensors'), ('detectron2', '.pkl'), ('timm', '.pth')])
def test_an_altered_file_is_recognised_in_every_format(run, to, suffix, tmp_path):
    path = tmp_path / f'out{suffix}'
    export_backbone(run[2], path, to=to)
    data = bytearray(path.read_bytes())
    weights = run[1].layer3[0].conv1.weight.detach().numpy().tobytes()[:64]
    at = bytes(data).index(weights)
    data[at] ^= 1
    path.write_bytes(bytes(data))
    for use in (read_backbone, lambda file: export_backbone(file, tmp_path / 'again.pth')):
        with pytest.raises(ValueError, match='SHA-256 differs|not a checkpoint that loads safely'):
            use(path)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(out_path='a.txt'), 'ends in ".txt" for mmdet'),
        (dict(out_path='a.pkl'), 'or .pkl for detectron2'),
        (dict(out_path='a.pth', to='keras'), "target 'keras' is unknown: choose from mmdet"),
        (dict(out_path='a.pth', encoder='third'), "encoder='third' is unknown"),
    ],
)
def test_what_cannot_be_written_is_said(run, arguments, words, tmp_path):
    arguments['out_path'] = tmp_path / arguments['out_path']
    with pytest.raises(ValueError, match=words):
        export_backbone(run[2], **arguments)
    assert not list(tmp_path.iterdir())
