"""What all pictures share: colours, a quiet style, and a figure as PNG bytes."""

import base64
import io
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from detco_mm.registry import STAGES

plt.switch_backend('Agg')  # no display is needed, nor asked for

INK, MUTED, FAINT = '#1b1f24', '#5b6470', '#d9dee4'
PAIRS = ('g2g', 'l2l', 'l2g')
PAIR_NAMES = {'g2g': 'global to global', 'l2l': 'local to local', 'l2g': 'local to global'}
# One hue from light to dark, since the stages are an order; three hues for the pairs, told apart also without red or
# green (Okabe and Ito's palette).
STAGE_COLOURS = dict(zip(STAGES, ('#a8c8e8', '#6ba3d6', '#2f7abf', '#0b3d73'), strict=True))
PAIR_COLOURS = {'g2g': '#0072b2', 'l2l': '#d55e00', 'l2g': '#008f6b'}
RUN_COLOURS = ('#8a929c', '#0072b2', '#d55e00', '#008f6b', '#a3477f')

STYLE: Any = {
    'font.size': 10,
    'axes.edgecolor': FAINT,
    'axes.labelcolor': MUTED,
    'axes.titlesize': 11,
    'axes.titlecolor': INK,
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.color': '#eef1f4',
    'xtick.color': MUTED,
    'ytick.color': MUTED,
    'legend.frameon': False,
    'legend.fontsize': 9,
    'lines.linewidth': 1.8,
    'figure.facecolor': 'white',
}


def png(figure: Figure, dpi: int = 130, colours: int | None = None) -> bytes:
    """Render a figure as PNG and close it.

    Args:
        figure: what to render.
        dpi: pixels an inch.
        colours: size of a palette to reduce the picture to, for a third of the bytes; None keeps all.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=dpi, bbox_inches='tight', pad_inches=0.08)
    plt.close(figure)
    if colours is None:
        return buffer.getvalue()
    reduced = io.BytesIO()
    Image.open(buffer).convert('RGB').quantize(colours).save(reduced, format='png', optimize=True)
    return reduced.getvalue()


def data_uri(image: bytes) -> str:
    """Write the bytes of a PNG or a JPEG as a URI that an HTML page can hold."""
    kind = 'jpeg' if image.startswith(b'\xff\xd8') else 'png'
    return f'data:image/{kind};base64,' + base64.b64encode(image).decode('ascii')


def smaller(image: bytes, photographs: bool) -> bytes:
    """Write a PNG in fewer bytes: photographs as JPEG, charts with a palette of 64 colours."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(image)).convert('RGB')
    if photographs:
        picture.save(buffer, format='jpeg', quality=85)
    else:
        picture.quantize(64).save(buffer, format='png', optimize=True)
    return min(image, buffer.getvalue(), key=len)


def bare(axes: Axes) -> Axes:
    """Take ticks, grid and frame off, as for a photograph."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes
