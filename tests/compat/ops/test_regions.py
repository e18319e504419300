"""Pooling over regions, compared with loops over bins and samples, and its gradients with finite differences."""

import math

import mmcv.ops
import pytest
import torch

from tests.devices import also_on_gpu

REGIONS = torch.tensor(
    [[0, 1.3, 2.1, 9.7, 8.2], [1, 0.0, 0.0, 15.5, 11.0], [1, 4.4, 3.3, 5.1, 4.2], [0, -3.0, -2.0, 20.0, 14.0]],
    dtype=torch.float64,
)


def maps(*shape, seed=0):
    generator = torch.Generator('cpu').manual_seed(seed)
    return torch.rand(*shape, dtype=torch.float64, generator=generator, device='cpu').to(torch.get_default_device())


def read(image, y, x):
    """Read one map between its pixels."""
    height, width = len(image), len(image[0])
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = image[top][left] * (1 - across) + image[top][right] * across
    lower = image[bottom][left] * (1 - across) + image[bottom][right] * across
    return upper * (1 - down) + lower * down


def sampled(input, regions, bins, scale, ratio, aligned, reduce, moves=None):
    """RoIAlign as it is defined; `moves` are those of bins, in sides."""
    result = torch.zeros(len(regions), input.shape[1], bins, bins, dtype=torch.float64)
    for r, (image, *corners) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (corner * scale - (0.5 if aligned else 0) for corner in corners)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        down, across = (ratio, ratio) if ratio else (math.ceil(height / bins), math.ceil(width / bins))
        for c in range(input.shape[1]):
            pixels = input[int(image), c].tolist()
            for p in range(bins):
                for q in range(bins):
                    move_x, move_y = (0, 0) if moves is None else moves[r, :, p, q].tolist()
                    values = [
                        read(
                            pixels,
                            y1 + height * (move_y + (p + (i + 0.5) / down) / bins),
                            x1 + width * (move_x + (q + (j + 0.5) / across) / bins),
                        )
                        for i in range(down)
                        for j in range(across)
                    ]
                    result[r, c, p, q] = reduce(values)
    return result


def mean(values):
    return sum(values) / len(values)


@also_on_gpu
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize(('mode', 'reduce'), [('avg', mean), ('max', max)])
def test_roi_align_reduces_the_samples_of_each_bin(mode, reduce, ratio, aligned):
    input = maps(2, 2, 6, 8)
    regions = REGIONS.to(input)
    found = mmcv.ops.roi_align(input, regions, (3, 3), 0.5, ratio, mode, aligned)
    torch.testing.assert_close(found, sampled(input, regions, 3, 0.5, ratio, aligned, reduce))


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_the_gradient_of_roi_align_is_that_of_its_definition(mode, ratio):
    input = maps(2, 1, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mmcv.ops.roi_align(x, REGIONS, 2, 0.5, ratio, mode, True), input)


def test_the_module_pools_bins_that_are_not_square():
    input = maps(2, 3, 12, 16)
    pooled = mmcv.ops.RoIAlign((2, 5), 1.0, 1)(input, REGIONS)
    for q in range(5):
        x = REGIONS[2, 1] + (REGIONS[2, 3] - REGIONS[2, 1]) * (q + 0.5) / 5 - 0.5
        y = REGIONS[2, 2] + (REGIONS[2, 4] - REGIONS[2, 2]) * 0.75 - 0.5
        assert math.isclose(pooled[2, 1, 1, q].item(), read(input[1, 1].tolist(), y.item(), x.item()), rel_tol=1e-9)


POOLS = {
    'avg': lambda input, regions: mmcv.ops.roi_align(input, regions, 7, 1.0, 0, 'avg'),
    'max': lambda input, regions: mmcv.ops.roi_align(input, regions, 7, 1.0, 0, 'max'),
    'deform': lambda input, regions: mmcv.ops.deform_roi_pool(input, regions, None, 7),
    'pool': lambda input, regions: mmcv.ops.roi_pool(input, regions, 7),
}


@pytest.mark.parametrize('name', POOLS)
def test_a_batch_without_regions_or_with_empty_ones_has_a_gradient_of_zero(name):
    input = maps(1, 2, 4, 4).requires_grad_()
    empty = torch.tensor([[0, 2.0, 2, 1, 1] if name == 'pool' else [0, 2.0, 2, 2, 2]], dtype=torch.float64)
    for regions in (empty[:0], empty):
        pooled = POOLS[name](input, regions)
        assert pooled.shape == (len(regions), 2, 7, 7) and not pooled.any()
        pooled.sum().backward()
        assert not input.grad.any()


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match='pool_mode is "median"'):
        mmcv.ops.roi_align(maps(1, 1, 4, 4), REGIONS[:1], 2, 1.0, 0, 'median')


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_such(dtype, mode):
    input = maps(2, 2, 6, 8)
    found = mmcv.ops.roi_align(input.to(dtype), REGIONS.float(), 2, 0.5, 2, mode)
    expected = mmcv.ops.roi_align(input, REGIONS, 2, 0.5, 2, mode)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-2)


def highest(input, regions, bins, scale):
    """RoIPool as mmcv defines it."""
    result = torch.zeros(len(regions), input.shape[1], bins, bins, dtype=torch.float64)
    height, width = input.shape[2:]
    for r, (image, x1, y1, x2, y2) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        for p in range(bins):
            for q in range(bins):
                rows = range(
                    max(math.floor(p * (y2 - y1) / bins + y1), 0),
                    min(math.ceil((p + 1) * (y2 - y1) / bins + y1), height),
                )
                columns = range(
                    max(math.floor(q * (x2 - x1) / bins + x1), 0),
                    min(math.ceil((q + 1) * (x2 - x1) / bins + x1), width),
                )
                if rows and columns:
                    inside = input[int(image), :, rows.start : rows.stop, columns.start : columns.stop]
                    result[r, :, p, q] = inside.amax((1, 2))
    return result


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_roi_pool_takes_the_highest_pixel_that_a_bin_touches(scale):
    input = maps(2, 2, 6, 8) - 1  # below the 0 of bins that touch none
    outside = torch.tensor([[0, 100.0, 100, 120, 120]], dtype=torch.float64)
    regions = torch.cat([REGIONS, outside])
    found = mmcv.ops.RoIPool(3, scale)(input, regions)
    torch.testing.assert_close(found, highest(input, regions, 3, scale))
    assert found[2].all() and not found[4].any()


def test_roi_pool_is_torchvisions_where_regions_are_whole_pixels():
    import torchvision

    input = maps(2, 2, 6, 8)
    regions = torch.tensor([[0, 0.0, 0, 7, 5], [1, 2, 1, 6, 4], [1, 3, 3, 3, 3]], dtype=torch.float64)
    assert torch.equal(mmcv.ops.roi_pool(input, regions, 3), torchvision.ops.roi_pool(input, regions, 3))


def test_the_gradient_of_roi_pool_goes_to_the_highest_pixels():
    input = maps(2, 1, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mmcv.ops.roi_pool(x, REGIONS, 2, 0.5), input)


@pytest.mark.parametrize('ratio', [0, 2])
def test_deform_roi_pool_averages_samples_of_moved_bins(ratio):
    input, offset = maps(2, 2, 6, 8), maps(4, 2, 3, 3, seed=1) - 0.5
    found = mmcv.ops.deform_roi_pool(input, REGIONS, offset, 3, 0.5, ratio, 0.3)
    torch.testing.assert_close(found, sampled(input, REGIONS, 3, 0.5, ratio, True, mean, 0.3 * offset))
    still = mmcv.ops.deform_roi_pool(input, REGIONS, None, 3, 0.5, ratio)
    torch.testing.assert_close(still, mmcv.ops.roi_align(input, REGIONS, 3, 0.5, ratio))


def test_the_gradients_of_deform_roi_pool_are_those_of_its_definition():
    input, offset = maps(2, 1, 5, 6), maps(3, 2, 2, 2, seed=1) - 0.5
    regions = REGIONS[:3]
    assert torch.autograd.gradcheck(
        lambda x, moves: mmcv.ops.deform_roi_pool(x, regions, moves, 2, 0.5, 2),
        (input.requires_grad_(), offset.requires_grad_()),
    )


def test_the_modules_that_learn_their_offsets_train():
    for pack in (mmcv.ops.DeformRoIPoolPack, mmcv.ops.ModulatedDeformRoIPoolPack):
        pool = pack(2, 3, deform_fc_channels=8, spatial_scale=0.5, sampling_ratio=2)
        pool(maps(2, 3, 6, 8).float(), REGIONS.float()).sum().backward()
        assert any(weight.grad is not None and weight.grad.any() for weight in pool.parameters())
