"""Methods beside each other as pictures."""

import itertools

import pytest
from matplotlib.text import Text

from detco_mm.visualization import comparison

LONG = 'box AP50, photographs of the reef, faster-rcnn_lite0_fpn_192px, 10 % of labels'


@pytest.mark.parametrize(
    'draw',
    [
        lambda: comparison.comparison_picture({f'{LONG}, {at}': {'random init': [1.0, 2.0]} for at in range(3)}),
        lambda: comparison.comparison_picture({f'{LONG}, {at}': {3 * 'another start ': [1.0]} for at in range(2)}),
        lambda: comparison.course_picture({f'{LONG}, {at}': {'random init': [{60: 1.0}]} for at in range(2)}),
    ],
    ids=['comparison', 'long names', 'course'],
)
def test_long_titles_leave_each_other_room(draw, monkeypatch):
    """Of whatever panels are in one row."""
    boxes = []

    def png(figure):
        figure.draw_without_rendering()
        for axes in figure.axes:
            (title,) = (text for text in axes.findobj(Text) if text.get_text() == axes.get_title('left'))
            boxes.append(title.get_window_extent())
        boxes.append(figure.bbox)
        return b''

    monkeypatch.setattr(comparison, 'png', png)
    draw()
    *titles, whole = boxes
    assert len(titles) >= 2 and all(title.width > 1 for title in titles)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(titles, 2))
    assert all(title.x1 <= whole.x1 and title.y1 <= whole.y1 for title in titles)
