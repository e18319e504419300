"""Features of many objects as points in the plane."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.preprocessing import normalize

from detco_mm.visualization.figures import STYLE, bare, png

# Okabe and Ito's eight colours; more classes than that take them again with another marker.
COLOURS = ('#0072b2', '#d55e00', '#008f6b', '#cc79a7', '#e0a000', '#56b4e9', '#5b6470', '#8a4fbf')
MARKERS = 'osDv^P*X'


def tsne_picture(
    features: Mapping[str, NDArray[np.float32]], labels: NDArray[np.int64], names: Mapping[int, str], seed: int = 0
) -> bytes:
    """Draw the t-SNE of several sets of features of the same objects.

    Args:
        features: (N, C) by the title of the panel.
        labels: (N,) classes.
        names: of the classes.
        seed: of t-SNE's initialisation.

    Returns:
        PNG bytes.

    Raises:
        ValueError: if there are less than ten objects.
    """
    if len(labels) < 10:
        raise ValueError(f'{len(labels)} objects: t-SNE of less than ten shows nothing; annotate more, or take a split')
    present = [label for label in names if (labels == label).any()]
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1, len(features), figsize=(4.2 * len(features), 4.2), squeeze=False)
        for axes, (title, values) in zip(grid[0], features.items(), strict=True):
            # Unit vectors, so that distances rank as cosines do; a third of the objects bounds the perplexity.
            points = TSNE(2, perplexity=min(30, len(labels) / 3), random_state=seed).fit_transform(normalize(values))
            for at, label in enumerate(present):
                chosen = points[labels == label]
                style: dict = dict(color=COLOURS[at % len(COLOURS)], marker=MARKERS[at // len(COLOURS) % len(MARKERS)])
                axes.scatter(*chosen.T, s=12, alpha=0.75, linewidths=0, label=names[label], **style)
            bare(axes).set_title(title, loc='center')
        handles: Sequence = grid[0][0].get_legend_handles_labels()[0]
        figure.legend(handles, [names[label] for label in present], loc='lower center', ncols=4, markerscale=2)
        figure.subplots_adjust(left=0.01, right=0.99, bottom=0.16, top=0.93, wspace=0.04)
        return png(figure, dpi=110)
