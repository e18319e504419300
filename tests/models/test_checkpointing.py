"""Gradient checkpointing inside a backbone saves memory and changes nothing else."""

import torch

from tests.models.zoo import NARROW, RESNET, build, step, views


def test_gradient_checkpointing_counts_a_batch_once_and_leaves_pytorchs_as_it_was():
    original = torch.utils.checkpoint.checkpoint
    plain, saving = (build(dict(RESNET, depth=18, with_cp=with_cp, **NARROW)) for with_cp in (False, True))
    saving.load_state_dict(plain.state_dict())
    for model in (plain, saving):
        step(model, views())
    assert torch.utils.checkpoint.checkpoint is original
    for (name, expected), found in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg=name)
    assert plain.backbone.layer1[0].bn1.num_batches_tracked == saving.backbone.layer1[0].bn1.num_batches_tracked == 2
