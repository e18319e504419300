"""Methods beside each other: every seed as a dot, mean and standard deviation over them."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from detco_mm.visualization.figures import INK, RUN_COLOURS, STYLE, png

Panels = Mapping[str, Mapping[str, list[float]]]


def comparison_picture(panels: Panels, columns: int = 3) -> bytes:
    """Draw one panel for each metric, methods from top to bottom.

    Args:
        panels: values of the seeds, by method, by the title of the panel; all in the same unit.
        columns: panels in a row.

    Returns:
        PNG bytes.

    Raises:
        ValueError: if there is nothing to draw.
    """
    # characters that the width of a panel holds
    panels = {textwrap.fill(title, 32): values for title, values in panels.items() if values}
    if not panels:
        raise ValueError('no results to draw: no evaluation is done yet')
    methods = list(dict.fromkeys(method for values in panels.values() for method in values))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    # inches: beside the panels the names, above them the lines of the titles
    width = 3.2 * columns + 0.08 * max(map(len, methods))
    height = (0.7 + 0.2 * max(title.count('\n') + 1 for title in panels) + 0.34 * len(methods)) * rows
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, sharey=True)
        for axes, (title, values) in zip(grid.flat, panels.items(), strict=False):
            for at, method in enumerate(methods):
                found = values.get(method, [])
                if not found:
                    continue
                colour = RUN_COLOURS[min(at, len(RUN_COLOURS) - 1)]
                mean = statistics.fmean(found)
                axes.plot(found, [at] * len(found), 'o', color=colour, alpha=0.35, markersize=5, markeredgewidth=0)
                axes.errorbar(
                    mean,
                    at,
                    xerr=statistics.stdev(found) if len(found) > 1 else None,
                    fmt='D',
                    color=colour,
                    markersize=5,
                    capsize=4,
                    linewidth=1.6,
                )
                axes.annotate(
                    f'{mean:.1f}', (mean, at), (0, 6), textcoords='offset points', ha='center', fontsize=8, color=INK
                )
            axes.set_title(title)
            axes.set_ylim(len(methods) - 0.4, -0.7)
            axes.set_yticks(range(len(methods)), methods)
            axes.margins(x=0.15)
        for axes in list(grid.flat)[len(panels) :]:
            axes.remove()
        figure.tight_layout()
        return png(figure)


def course_picture(course: Mapping[str, Mapping[str, Sequence[Mapping[int, float]]]], columns: int = 2) -> bytes:
    """Draw box AP on the validation images over the iterations: a panel for each task.

    Args:
        course: by task, then by method, for each seed AP in percent by iteration.
        columns: panels in a row.

    Returns:
        PNG bytes. Thin lines are seeds, a thick one is their mean where all seeds have a value.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not course:
        raise ValueError('no evaluations to draw: no detector was evaluated while it trained')
    methods = list(dict.fromkeys(method for found in course.values() for method in found))
    columns = min(columns, len(course))
    rows = -(-len(course) // columns)
    with plt.rc_context(STYLE):
        # inches: beside the panels the legend
        width = 4.6 * columns + 0.5 + 0.08 * max(map(len, methods))
        figure, grid = plt.subplots(rows, columns, figsize=(width, 3.2 * rows), squeeze=False)
        for axes, (title, found) in zip(grid.flat, course.items(), strict=False):
            for method, seeds in found.items():
                colour = RUN_COLOURS[min(methods.index(method), len(RUN_COLOURS) - 1)]
                for points in seeds:
                    axes.plot(list(points), list(points.values()), color=colour, alpha=0.3, linewidth=0.9)
                shared = sorted(set.intersection(*(set(points) for points in seeds)))
                means = [statistics.fmean(points[at] for points in seeds) for at in shared]
                axes.plot(shared, means, 'o-', color=colour, markersize=3, label=method)
            axes.set(title=textwrap.fill(title, 42), xlabel='iteration', ylabel='box AP, %')
            axes.set_ylim(bottom=0)
        for axes in list(grid.flat)[len(course) :]:
            axes.remove()
        # beside the panels, where it hides no line
        names = grid.flat[0].get_legend_handles_labels()
        grid[0, -1].legend(*names, loc='upper left', bbox_to_anchor=(1, 1))
        figure.tight_layout()
        return png(figure)
