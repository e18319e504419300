"""Files along a run are probed on the same boxes: a table, a CSV and a picture."""

import csv
import io
from ast import literal_eval

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from detco_mm.evaluation.probed_files import RANDOM, as_csv, probe_files, table
from detco_mm.visualization.curves import probe_picture
from detco_mm.weights import load_backbone
from tests.evaluation.test_boxes import labelled
from tests.integration.small_run import CONFIG, NARROW


@pytest.fixture(scope='module')
def probed(tmp_path_factory):
    """A random backbone, a checkpoint of a run with a queue, and weights by themselves."""
    folder = tmp_path_factory.mktemp('probed')
    config = Config.fromfile(CONFIG)
    config.merge_from_dict({name: literal_eval(value) for name, value in (text.split('=') for text in NARROW)})
    init_default_scope('mmselfsup')
    torch.manual_seed(1)
    weights = load_backbone(config.model.backbone).state_dict()
    run = {f'backbone.{name}': value for name, value in weights.items()}
    keys = torch.nn.functional.normalize(torch.randn(8, 8, 16), dim=2)
    run |= {'queue.keys': keys, 'queue.pointer': torch.tensor(4)}
    (folder / 'a').mkdir()
    torch.save(dict(state_dict=run, meta=dict(iter=7, epoch=1)), folder / 'a/epoch_1.pth')
    torch.save(weights, folder / 'epoch_1.pth')
    # of a run with another head: one row, as MoCo v2 has
    torch.save(dict(state_dict={**run, 'queue.keys': keys[:1]}, meta=dict(iter=9)), folder / 'moco.pth')
    files = [RANDOM, *(str(folder / name) for name in ('a/epoch_1.pth', 'epoch_1.pth', 'moco.pth'))]
    return list(probe_files(config, files, labelled(folder), folder, size=64, folds=2))


def test_the_same_weights_give_the_same_whatever_file_they_are_in(probed):
    start, run, weights, moco = probed
    accuracies = {name: value for name, value in run.found.items() if not name.startswith(('rank', 'uniformity'))}
    assert accuracies == weights.found and start.data is run.data
    assert [one.step for one in probed] == [0, 7, None, 9]
    assert run.name == 'a/epoch_1' and start.name == 'random' and weights.name.endswith('/epoch_1')
    assert 1 < run.found['rank_local_res4'] <= 8 and 'rank_local_res4' not in weights.found
    assert 1 < moco.found['rank_row0'] <= 8


def test_all_is_in_the_csv_and_accuracies_are_in_the_table_and_the_picture(probed):
    rows = list(csv.DictReader(io.StringIO(as_csv(probed))))
    assert (
        [row['step'] for row in rows] == ['0', '7', '', '9'] and rows[1]['boxes'] == '16' and rows[1]['chance'] == '0.5'
    )
    assert float(rows[1]['linear_res3']) == pytest.approx(probed[1].found['linear_res3'])
    header, *cells = table(probed)
    assert header[2] == 'knn res2' and cells[1][2] == f'{100 * probed[1].found["knn_res2"]:.1f}'
    for count in (2, 3):  # along the steps; by name, where a step is not known
        some = probed[:count]
        picture = probe_picture({one.name: one.found for one in some}, [one.step for one in some])
        assert picture.startswith(b'\x89PNG')
