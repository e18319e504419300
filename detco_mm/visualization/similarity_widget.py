"""Similarity maps in which a click chooses the point: a fragment of HTML that computes them itself."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detco_mm.visualization.figures import STAGES, data_uri
from detco_mm.visualization.pictures import Array
from detco_mm.visualization.similarity import Floats, StageMaps

DIMENSIONS = 64  # of the vectors that the page carries


def _compressed(one: Floats, other: Floats) -> tuple[NDArray[np.int8], NDArray[np.int8], float]:
    """Reduce two maps to DIMENSIONS by their common principal directions, and to 8 bits.

    Directions are those of the vectors themselves, not of their deviation from the mean: products are kept.

    Returns:
        Both maps, and what a product of two of their vectors has to be multiplied by.
    """
    both = np.concatenate([one.reshape(-1, one.shape[-1]), other.reshape(-1, other.shape[-1])])
    _, directions = np.linalg.eigh(both.T @ both)
    reduced = both @ directions[:, ::-1][:, :DIMENSIONS]
    step = float(np.abs(reduced).max()) / 127
    rounded = np.round(reduced / step).astype(np.int8)
    split = one.shape[0] * one.shape[1]
    return rounded[:split].reshape(*one.shape[:2], -1), rounded[split:].reshape(*other.shape[:2], -1), step**2


def similarity_widget(
    sides: Mapping[str, tuple[StageMaps, StageMaps]], point: tuple[float, float], stages: Sequence[str] = STAGES
) -> str:
    """Write the same maps as HTML in which a click chooses the point.

    The page carries the vectors of both images in DIMENSIONS of 8 bits each, and computes the cosines itself.

    Args:
        sides: as for `similarity_picture`; all of the same two images.
        point: the first point.
        stages: columns.

    Returns:
        A fragment of HTML with its script, for one page once.
    """
    first, second = next(iter(sides.values()))
    content: dict = {'point': point, 'size': second.image.shape[1::-1], 'models': []}
    for name, (one, other) in sides.items():
        packed = {}
        for stage in stages:
            *pair, factor = _compressed(one.maps[stage], other.maps[stage])
            packed[stage] = [
                {'shape': maps.shape, 'factor': factor, 'data': base64.b64encode(maps.tobytes()).decode()}
                for maps in pair
            ]
        content['models'].append({'name': name, 'stages': packed})
    # "</" would end the script early
    text = json.dumps(content, separators=(',', ':')).replace('</', '<\\/')
    rows = ''.join(
        f'<tr><th scope=row>{html.escape(name)}</th>'
        + ''.join(f'<td><canvas data-model={at} data-stage={stage}></canvas><small></small></td>' for stage in stages)
        + '</tr>'
        for at, name in enumerate(sides)
    )
    heads = ''.join(f'<th scope=col>{stage}</th>' for stage in stages)
    return (
        f'<div id=similarity><div class=images><div class=point><img src="{data_uri(_png(first.image))}" '
        f'alt="Click to choose a point"><i></i></div><img class=other src="{data_uri(_png(second.image))}" '
        f'alt="The image that is compared"></div>'
        f'<div class=scroll><table><tr><th></th>{heads}</tr>{rows}</table></div></div>\n'
        f'<style>{WIDGET_STYLE}</style>\n<script type="application/json" id=similarity-data>{text}</script>\n'
        f'<script>{WIDGET_SCRIPT}</script>'
    )


def _png(image: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format='png', optimize=True)
    return buffer.getvalue()


WIDGET_STYLE = """
#similarity .images { display: flex; flex-wrap: wrap; gap: 1rem; align-items: start; }
#similarity .point { position: relative; display: inline-block; cursor: crosshair; }
#similarity .point i { position: absolute; width: 16px; height: 16px; margin: -8px 0 0 -8px; border: 3px solid #d00020;
  border-radius: 50%; box-shadow: 0 0 0 2px #fff; pointer-events: none; }
#similarity canvas { display: block; width: 100%; min-width: 130px; }
#similarity td, #similarity th { padding: .15rem .3rem; border: 0; text-align: center; }
#similarity small { color: #5b6470; }
"""

# Colours between which the maps are drawn: matplotlib's magma at nine places.
WIDGET_SCRIPT = """
(() => {
  const root = document.getElementById('similarity');
  const data = JSON.parse(document.getElementById('similarity-data').textContent);
  const magma = [[0,0,4],[28,16,68],[79,18,123],[129,37,129],[181,54,122],[229,80,100],[251,135,97],[254,194,135],
    [252,253,191]];
  const unpack = part => ({...part, values: Int8Array.from(atob(part.data), c => c.charCodeAt(0))});
  const models = data.models.map(model => Object.fromEntries(Object.entries(model.stages).map(
    ([stage, pair]) => [stage, pair.map(unpack)])));
  const [image, other] = [root.querySelector('.point img'), root.querySelector('img.other')];
  const colour = share => {
    const at = share * (magma.length - 1), low = Math.min(Math.floor(at), magma.length - 2);
    return magma[low].map((value, channel) => value + (at - low) * (magma[low + 1][channel] - value));
  };
  const cosines = (one, two, x, y) => {
    const [h, w, dims] = one.shape, count = two.shape[0] * two.shape[1], found = new Float32Array(count);
    const start = (Math.min(Math.floor(y * h), h - 1) * w + Math.min(Math.floor(x * w), w - 1)) * dims;
    for (let at = 0; at < count; at++) {
      let product = 0;
      for (let d = 0; d < dims; d++) product += one.values[start + d] * two.values[at * dims + d];
      found[at] = product * one.factor;
    }
    return found;
  };
  const draw = (x, y) => {
    root.dataset.point = x.toFixed(4) + ' ' + y.toFixed(4);
    Object.assign(root.querySelector('.point i').style, {left: 100 * x + '%', top: 100 * y + '%'});
    for (const canvas of root.querySelectorAll('canvas')) {
      const [one, two] = models[canvas.dataset.model][canvas.dataset.stage], [h, w] = two.shape;
      const found = cosines(one, two, x, y);
      const low = Math.min(...found), high = Math.max(...found);
      const heat = new OffscreenCanvas(w, h), pixels = new ImageData(w, h);
      found.forEach((value, at) => {
        const [r, g, b] = colour((value - low) / Math.max(high - low, 1e-6));
        pixels.data.set([r, g, b, 255], 4 * at);
      });
      heat.getContext('2d').putImageData(pixels, 0, 0);
      [canvas.width, canvas.height] = data.size;
      const context = canvas.getContext('2d');
      context.imageSmoothingEnabled = false;
      context.filter = 'grayscale(1)';
      context.drawImage(other, 0, 0, canvas.width, canvas.height);
      context.filter = 'none';
      context.globalAlpha = 0.75;
      context.drawImage(heat, 0, 0, canvas.width, canvas.height);
      const best = found.indexOf(high);
      canvas.dataset.best = [best % w, Math.floor(best / w)].join(' ');
      canvas.nextElementSibling.textContent = low.toFixed(2) + ' to ' + high.toFixed(2);
    }
  };
  image.addEventListener('click', event => {
    const box = image.getBoundingClientRect();
    draw((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  other.decode().then(() => draw(...data.point));
})();
"""
