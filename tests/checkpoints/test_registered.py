"""A config out of a file builds registered classes alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from detco_mm.checkpoints.registered import check_types, is_registered

ROOT = Path(__file__).parents[2]
CALLABLE = ['subprocess.call', 'os.system', 'mmengine.dump', 'mmengine.mkdir_or_exist', 'builtins.exec', 'torch.load',
            'mmcls.registry', 'detco_mm.weights.export_backbone', 'antigravity', 'mmengine.ResNet', '', None,
            print]  # fmt: skip


@pytest.mark.parametrize('name', CALLABLE)
def test_what_mmengine_would_import_and_call_is_not_registered(name):
    assert not is_registered(name)
    with pytest.raises(ValueError, match=r'a\.b\.type=.*only classes of OpenMMLab'):
        check_types(dict(b=[dict(type='BN'), dict(type=name, args=['x'])]), 'a')


@pytest.mark.parametrize(
    'name', ['ResNet', 'mmselfsup.ResNet', 'mmdet.CSPNeXt', 'BN', 'detco_mm.DetCoViews', 'default_collate', 'ReLU']
)
def test_what_configs_here_name_is(name):
    assert is_registered(name)
    check_types(dict(model=dict(backbone=dict(type=name, norm_cfg=dict(type='BN', requires_grad=True)))))


@pytest.mark.exhaustive  # every tool reads files in such a process; this one names what would be missing
def test_norms_are_known_in_a_process_that_has_imported_nothing_else():
    code = "from detco_mm.checkpoints.registered import is_registered as known; assert known('BN') and known('ReLU6')"
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)
