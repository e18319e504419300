"""The table of docs/backbones.md is what exports do."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from detco_mm.weights.resnets import NAMES, ResNetShape
from detco_mm.weights.targets import TARGETS, network_for
from tests.models.zoo import LARGE, SMALL

PAGE = Path(__file__).parents[2] / 'docs/backbones.md'
#: The first words of a row -> a backbone of the zoo.
ROWS = {
    'ResNet-18, 34': LARGE['ResNet-50'],
    'ResNeXt-50': LARGE['ResNeXt-50 32x4d'],
    'wide ResNet-50-2': LARGE['wide ResNet-50-2'],
    'ResNetV1d': LARGE['ResNetV1d-50'],
    'RegNet': SMALL['RegNetX-400MF'],
    'Res2Net': SMALL['Res2Net-50'],
    'CSPNeXt': SMALL['CSPNeXt-s'],
    'CSPDarknet': SMALL['CSPDarknet-s'],
    'MobileNetV2': SMALL['MobileNetV2'],
    'ConvNeXt': SMALL['ConvNeXt-atto'],
    'Swin': SMALL['Swin'],
    'timm: tf_efficientnet_lite0': SMALL['efficientnet_lite0'],
    'timm: hgnetv2_b0': SMALL['hgnetv2_b0'],
}


def source(config):
    """What is known of a backbone that is not built."""
    library, _, kind = config['type'].rpartition('.')
    shape = None
    if kind in ('ResNet', 'ResNeXt', 'ResNetV1d'):
        groups = config.get('groups', 1)
        width = groups * config['width_per_group'] if groups > 1 else config.get('base_channels', 64)
        shape = ResNetShape(config['depth'], width=width, out=256, groups=groups, deep=kind == 'ResNetV1d')
        assert (shape.depth, groups, width) in NAMES
    library = 'timm' if kind == 'TIMMBackbone' else library or 'mmselfsup'
    return SimpleNamespace(config=config, library=library, kind=kind, shape=shape, name=kind, module=None)


@pytest.mark.parametrize('row', ROWS)
def test_the_libraries_of_a_row_are_those_for_which_an_export_has_a_network(row):
    (line,) = (line for line in PAGE.read_text().splitlines() if line.startswith(f'| {row}'))
    stated = [word.strip() for word in line.split('|')[4].split(',')]
    found = []
    for target in TARGETS:
        with suppress(ValueError):
            network_for(source(ROWS[row]), target)
            found.append(target)
    assert sorted(stated) == sorted(found)
