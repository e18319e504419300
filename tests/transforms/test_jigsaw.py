"""Patches: every cell gives one, from inside it, in random order, anew for each view."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detco_mm.transforms import JigsawPatches


def coordinates(height, width):
    """Return an image whose pixel is its own (row, column, 7)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 7)], -1).astype(np.int32)


@settings(deadline=None)
@given(
    grid=st.integers(1, 5),
    patch=st.integers(1, 20),
    spare=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_cell_gives_exactly_one_whole_patch_from_inside_it(grid, patch, spare, seed):
    np.random.seed(seed)
    height, width = grid * patch + spare[0], grid * patch + spare[1]
    patches = JigsawPatches(grid=grid, patch_size=patch).cut(coordinates(height, width))
    assert patches.shape == (grid * grid, patch, patch, 3)
    tops, lefts = patches[:, 0, 0, 0], patches[:, 0, 0, 1]
    expected = coordinates(height, width)
    for got, top, left in zip(patches, tops, lefts, strict=True):
        assert (got == expected[top : top + patch, left : left + patch]).all()
    cells = (height // grid, width // grid)
    rows, columns = tops // cells[0], lefts // cells[1]
    assert sorted(rows * grid + columns) == list(range(grid * grid))
    assert (tops % cells[0] + patch <= cells[0]).all()
    assert (lefts % cells[1] + patch <= cells[1]).all()


def test_order_and_offsets_are_even_and_differ_between_views():
    np.random.seed(0)
    jigsaw = JigsawPatches()
    view = coordinates(255, 255)
    number = 2000
    corners = np.stack([jigsaw.cut(view)[:, 0, 0, :2] for _ in range(number)])
    cells, offsets = corners // 85, corners % 85
    first = np.bincount(cells[:, 0, 0] * 3 + cells[:, 0, 1], minlength=9) / number
    assert np.abs(first - 1 / 9).max() < 4 * (1 / 9 * 8 / 9 / number) ** 0.5
    assert offsets.min() == 0 and offsets.max() == 85 - 64
    # A whole number from 0 to 21: mean 10.5, variance (22^2 - 1) / 12; the limit is four standard errors.
    assert abs(offsets.mean() - 10.5) < 4 * ((22**2 - 1) / 12 / offsets.size) ** 0.5
    assert len({corner.tobytes() for corner in corners}) == number


def test_only_the_local_views_are_cut_and_the_given_list_stays():
    views = [coordinates(224, 224), coordinates(224, 224), coordinates(255, 255), coordinates(255, 255)]
    given_list = list(views)
    np.random.seed(0)
    cut = JigsawPatches()(dict(views=given_list))['views']
    assert [view.shape for view in cut] == [(224, 224, 3)] * 2 + [(9, 64, 64, 3)] * 2
    assert cut[0] is views[0] and given_list[2] is views[2]
    assert not (cut[2] == cut[3]).all()


def test_a_cell_smaller_than_a_patch_names_the_value_the_rule_and_the_way_out():
    with pytest.raises(ValueError, match=r'191x255 .*3x3 cells of 63x85, too small for patches of 64x64: .* 192'):
        JigsawPatches().cut(coordinates(191, 255))


@pytest.mark.parametrize('argument', ['grid', 'patch_size'])
def test_a_number_below_one_is_named(argument):
    with pytest.raises(ValueError, match=f'{argument}=0'):
        JigsawPatches(**{argument: 0})


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 300), grid=st.integers(1, 6), patch=st.integers(1, 100))
def test_what_cannot_be_cut_is_refused_before_the_first_image(size, grid, patch):
    step = JigsawPatches(grid, patch, indices=(0,))
    view = np.zeros((size, size, 3), np.uint8)
    if size // grid >= patch:
        step.check_sizes([size])
        assert step.cut(view).shape == (grid * grid, patch, patch, 3)
    else:
        with pytest.raises(ValueError, match=f'local_size to at least {grid * patch}'):
            step.check_sizes([size])


def test_a_view_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match='no view 4, only 4'):
        JigsawPatches(indices=(2, 4)).check_sizes([255] * 4)
