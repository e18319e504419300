"""Run a tool by its command line, and a backbone to give to it."""

import sys

import torch
from mmselfsup.models.backbones import ResNet

from tests.integration import forked


def ran(tool, *arguments, expect=0):
    """What a tool prints or, where it must fail, complains of."""
    done = forked.run([sys.executable, f'tools/{tool}', *arguments])
    assert done.returncode == expect, f'{done.stdout[-2000:]}\n{done.stderr[-3000:]}'
    return done.stdout if expect == 0 else done.stderr


def write_backbone(path, depth):
    """Write a ResNet as export does, with statistics that are not those of the start."""
    torch.manual_seed(0)
    model = ResNet(depth, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4))
    model.train()
    model(torch.randn(4, 3, 64, 64))
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path
