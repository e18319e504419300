"""tools/visualize.py: pictures of views, similarity and features, and the page that holds them, in a browser."""

import io
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmselfsup.models.backbones import ResNet
from PIL import Image
from skimage import data

from detco_mm.visualization.embedding import tsne_picture
from detco_mm.visualization.figures import STAGES
from detco_mm.visualization.report import Section, html_page
from detco_mm.visualization.similarity import StageMaps, similarity, similarity_picture, stage_maps
from detco_mm.visualization.similarity_widget import similarity_widget
from tests.integration import forked

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
in_a_browser = pytest.mark.skipif(BROWSER is None, reason='no Chromium')
CAT, ASTRONAUT = data.chelsea(), data.astronaut()
STATISTICS = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.fixture(scope='module')
def sides():
    """Two untrained backbones on a pair of photographs."""
    pairs = {}
    for name in ('one <b>', 'another'):
        torch.manual_seed(len(name))
        backbone = ResNet(18, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4))
        backbone.eval()
        pairs[name] = tuple(stage_maps(backbone, image, *STATISTICS, side=160) for image in (CAT, ASTRONAUT))
    return pairs


def dump(page, script=''):
    """Return the document as the browser has it after all scripts, with one more of them."""
    page.write_text(page.read_text().replace('</body>', f'<script>{script}</script></body>'))
    line = [BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=10000', '--dump-dom']
    return subprocess.run([*line, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout


def test_stage_maps_are_unit_vectors_of_every_stage(sides):
    maps = sides['another'][0]
    assert maps.image.shape == (96, 160, 3)  # 300 x 451, as multiples of 32
    assert [maps.maps[stage].shape for stage in STAGES] == [
        (24, 40, 64), (12, 20, 128), (6, 10, 256), (3, 5, 512)]  # fmt: skip
    for stage in STAGES:
        np.testing.assert_allclose(np.linalg.norm(maps.maps[stage], axis=2), 1, rtol=1e-5)


def test_a_point_is_most_similar_to_itself_and_the_corners_belong_to_the_image(sides):
    maps = sides['another'][0].maps['res3']
    for point, place in {(0, 0): (0, 0), (1, 1): (11, 19), (0.5, 0.26): (3, 10)}.items():
        cosines = similarity(maps, maps, point)
        assert np.unravel_index(cosines.argmax(), cosines.shape) == place
        assert cosines.max() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match=r'point \(1.2, 0\) lies outside'):
        similarity(maps, maps, (1.2, 0))


def test_the_similarity_picture_shows_where_the_similar_place_is():
    """A map of one hot place: it must be the bright one in the picture, under every stage."""
    maps = np.zeros((4, 4, 2), np.float32)
    maps[..., 0] = 1
    hot = maps.copy()
    hot[1, 2] = (0, 1)
    pair = tuple(StageMaps(np.zeros((64, 64, 3), np.uint8), dict.fromkeys(STAGES, m)) for m in (hot, hot))
    picture = np.asarray(Image.open(io.BytesIO(similarity_picture({'x': pair}, (0.6, 0.3)))).convert('L'))
    columns = picture.shape[1] / 5
    for at in range(1, 5):
        part = picture[:, round(at * columns) + 4 : round((at + 1) * columns) - 4]
        # white paper aside, the brightest spot lies right of the middle and above it
        y, x = np.nonzero((part > 150) & (part < 245))
        assert x.mean() > part.shape[1] * 0.5 and y.mean() < part.shape[0] * 0.5


@in_a_browser
@pytest.mark.parametrize('click', [None, (0.3, 0.7)])
def test_in_a_browser_the_page_computes_what_numpy_computes_at_the_point_and_at_a_click(sides, click, tmp_path):
    page = tmp_path / 'index.html'
    page.write_text(html_page('t', [Section('Similarity', widget=similarity_widget(sides, (0.62, 0.41)))]))
    script = (
        ''
        if click is None
        else f"""
        addEventListener('load', () => setTimeout(() => {{
          const image = document.querySelector('#similarity .point img'), box = image.getBoundingClientRect();
          image.dispatchEvent(new MouseEvent('click', {{bubbles: true,
            clientX: box.left + {click[0]} * box.width, clientY: box.top + {click[1]} * box.height}}));
        }}, 500));"""
    )
    document = dump(page, script)
    point = click or (0.62, 0.41)
    shown = re.search(r'data-point="([\d.]+) ([\d.]+)"', document)
    # events carry whole pixels
    assert (float(shown[1]), float(shown[2])) == pytest.approx(point, abs=0.01)
    point = float(shown[1]), float(shown[2])
    cells = re.findall(
        r'<canvas data-model="(\d)" data-stage="(res\d)"[^>]*data-best="(\d+) (\d+)"[^>]*></canvas>'
        r'<small>(-?[\d.]+) to (-?[\d.]+)</small>',
        document,
    )
    assert len(cells) == 8 and 'one &lt;b&gt;' in document
    for model, stage, x, y, low, high in cells:
        one, other = list(sides.values())[int(model)]
        cosines = similarity(one.maps[stage], other.maps[stage], point)
        # 64 principal dimensions in 8 bits
        assert (float(low), float(high)) == pytest.approx((cosines.min(), cosines.max()), abs=0.03)
        assert cosines[int(y), int(x)] > cosines.max() - 0.03


def test_tsne_keeps_what_is_apart_apart_and_asks_for_enough_objects():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3 + 1
    features = (generator.normal(size=(60, 8)) + 9 * np.eye(8)[labels]).astype(np.float32)
    picture = tsne_picture({'a': features, 'b': features}, labels, {1: 'disc', 2: 'box', 3: 'star', 4: 'absent'})
    assert picture.startswith(b'\x89PNG')
    with pytest.raises(ValueError, match='4 objects: t-SNE of less than ten'):
        tsne_picture({'a': features[:4]}, labels[:4], {1: 'disc'})


@in_a_browser
def test_the_command_writes_all_parts_and_the_browser_shows_every_picture(tmp_path):
    for name, image in (('a <i>.jpg', CAT), ('b.jpg', ASTRONAUT)):
        Image.fromarray(image).save(tmp_path / name)
    scalars = tmp_path / 'run/20260101_000000/vis_data/scalars.json'
    scalars.parent.mkdir(parents=True)
    scalars.write_text(
        ''.join(
            f'{{"loss": {9 - step / 9}, "loss_g2g_res5": 1.0, "acc_g2g_res5": 0.1, "step": {step}}}\n'
            for step in range(9)
        )
    )
    made = [sys.executable, 'tools/make_data.py', str(tmp_path / 'data'), '--unlabelled', '0', '--train', '1']
    assert forked.run([*made, '--val', '6', '--test', '0']).returncode == 0
    line = [sys.executable, 'tools/visualize.py', 'configs/mini/detco_r18.py', '--out', str(tmp_path / 'out')]
    line += ['--images', str(tmp_path / 'a <i>.jpg'), str(tmp_path / 'b.jpg'), '--checkpoints', 'random', 'random']
    line += ['--run', str(tmp_path / 'run'), '--objects', str(tmp_path / 'data/annotations/instances_val.json')]
    done = forked.run([*line, str(tmp_path / 'data/val')])
    assert done.returncode == 0, done.stderr[-3000:]
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert {'views-1.png', 'views-2.png', 'similarity-at-the-given-point.png', 'training-1.png'} <= names
    assert {'features-of-objects.png', 'index.html'} <= names
    script = """
        addEventListener('load', () => setTimeout(() => { document.title = [...document.images].filter(
          image => image.naturalWidth > 50).length + ' of ' + document.images.length + ' shown; scroll '
          + (document.documentElement.scrollWidth - document.documentElement.clientWidth); }, 500));"""
    assert re.search('<title>(.*)</title>', dump(tmp_path / 'out/index.html', script))[1] == '9 of 9 shown; scroll 0'


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], 'nothing to draw'),
        (['--images', 'missing.jpg'], 'no image at "missing.jpg"'),
        (['--images', 'README.md', '--checkpoints', 'missing.pth'], 'no checkpoint at "missing.pth"'),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, words):
    line = [sys.executable, 'tools/visualize.py', 'configs/mini/detco_r18.py', *arguments]
    done = forked.run(line)
    assert done.returncode != 0 and words in done.stderr and 'Traceback' not in done.stderr
