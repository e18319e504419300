"""Methods beside each other: every seed as a dot, mean and standard deviation over them."""

import statistics
from collections.abc import Mapping

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
    panels = {title: values for title, values in panels.items() if values}
    if not panels:
        raise ValueError('no results to draw: no evaluation is done yet')
    methods = list(dict.fromkeys(method for values in panels.values() for method in values))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows, columns, figsize=(3.6 * columns, (0.9 + 0.34 * len(methods)) * rows), squeeze=False, sharey=True
        )
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
