"""Studies: what is run, what is read back, what is written."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from detco_mm.experiments.ablation import Method, Study, Task, collect, plan
from detco_mm.experiments.outcome import headings, write_outcome
from detco_mm.experiments.results import Result, from_csv, results_table

ROOT = Path(__file__).parents[2]
STUDY = Study(
    methods=[Method('random init', None), Method('DetCo', 'configs/mini/detco_r18.py')],
    tasks=[Task('all labels', 'configs/mini/mask-rcnn_r18_fpn_embedded.py')],
    seeds=[0, 1],
    images=64,
)
RESULTS = [
    Result(method, seed, 'all labels', 'bbox_mAP', value)
    for method, values in {'random init': (0.02, 0.04), 'DetCo': (0.05, -1.0)}.items()
    for seed, value in enumerate(values)
]


def test_every_step_comes_after_what_it_needs_and_seeds_after_each_other():
    steps = plan(STUDY, Path('work'), ROOT)
    names = [step.name for step in steps]
    assert len(names) == len(set(names)) == 2 * (2 + 4)
    for at, step in enumerate(steps):
        assert set(step.needs) <= set(names[:at])
    assert [('seed_1' in name) for name in names] == [False] * 6 + [True] * 6
    assert {step.iterations for step in steps if step.name.endswith('pretrain')} == {6 * 64 // 32}


def test_a_random_backbone_is_fine_tuned_without_weights_and_a_trained_one_with_its_export():
    steps = {step.name: step.command for step in plan(STUDY, Path('work'), ROOT)}
    assert 'work/detco/seed_1/backbone.pth' in steps['detco/seed_1/all-labels']
    assert not any('.pth' in part for part in steps['random-init/seed_1/all-labels'])
    for name, command in steps.items():
        if 'export' not in name:
            assert 'randomness.seed=1' in command if 'seed_1' in name else 'randomness.seed=0' in command


def test_methods_that_would_share_a_folder_are_refused():
    with pytest.raises(ValueError, match='methods DetCo, detco: each needs a name of its own'):
        plan(replace(STUDY, methods=[Method('DetCo', None), Method('detco', None)]), Path('work'), ROOT)


def test_only_finished_evaluations_are_collected(tmp_path):
    folder = tmp_path / 'detco/seed_1'
    folder.mkdir(parents=True)
    (folder / 'all-labels-test.json').write_text(json.dumps({'coco/bbox_mAP': 0.25}))
    assert collect(STUDY, tmp_path) == []
    (folder / 'all-labels-test.done.json').write_text('{}')
    assert collect(STUDY, tmp_path) == [Result('DetCo', 1, 'all labels', 'bbox_mAP', 0.25)]


def test_the_table_gives_mean_and_sample_deviation_and_leaves_undefined_values_out():
    detection, _ = headings(RESULTS)
    table = results_table(RESULTS, detection)
    assert table == [['', 'box AP, all labels'], ['random init', '3.0 ± 1.4 (2)'], ['DetCo', '5.0 (1)']]


def test_the_outcome_is_a_csv_a_page_and_a_picture_that_say_the_same(tmp_path):
    files = write_outcome(RESULTS, tmp_path / 'out', 'results', 'A study', ['Why.'], {'seeds': '0, 1'})
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['results.csv', 'results.md', 'results.png']
    assert from_csv(files[0].read_text()) == RESULTS
    page = files[1].read_text()
    assert (
        page.startswith('# A study\n\nWhy.') and '3.0 ± 1.4 (2)' in page and 'results.png' in page and 'torch' in page
    )
    assert files[2].read_bytes().startswith(b'\x89PNG')
    frozen = [Result('DetCo', 0, 'frozen features', 'linear_res3', 0.25)]
    assert '| linear, frozen res3 |' in write_outcome(RESULTS + frozen, tmp_path, 'x', 'A', (), {})[1].read_text()
    with pytest.raises(ValueError, match='no evaluation is done yet'):
        write_outcome([], tmp_path, 'results', 'A study', (), {})


def test_a_whole_ablation_ends_with_a_table_and_is_not_repeated(tmp_path):
    data = tmp_path / 'data'
    made = [sys.executable, 'tools/make_data.py', str(data), '--unlabelled', '64', '--train', '8', '--val', '2']
    subprocess.run([*made, '--test', '4'], cwd=ROOT, check=True, capture_output=True)
    detector = {'data_root': f'{data}/', 'train_cfg.max_iters': 2, 'train_cfg.val_interval': 3}
    detector |= {'default_hooks.checkpoint.interval': 2, 'train_dataloader.dataset.indices': 4}
    for split in ('train', 'val', 'test'):
        detector[f'{split}_dataloader.dataset.data_root'] = f'{data}/'
    for split in ('val', 'test'):
        detector[f'{split}_evaluator.ann_file'] = f'{data}/annotations/instances_{split}.json'
    line = [sys.executable, 'tools/ablate.py', 'configs/mini/mocov2_r18.py', '--random', '--seeds', '3']
    line += ['--finetune', 'configs/mini/mask-rcnn_r18_fpn_embedded.py', '--work-dir', str(tmp_path / 'work')]
    line += ['--cfg-options', f'data.root={data}/unlabelled', 'train_cfg.max_epochs=1', 'model.queue_len=32']
    line += ['--finetune-options', *(f'{key}={value}' for key, value in detector.items())]
    first = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout[-4000:] + first.stderr[-2000:]
    assert '| random init |' in first.stdout and '| mocov2_r18' in first.stdout
    results = from_csv((tmp_path / 'work/results.csv').read_text())
    assert {(r.method, r.seed) for r in results} == {('random init', 3), ('mocov2_r18', 3)}
    assert {'bbox_mAP', 'segm_mAP'} <= {r.metric for r in results}
    again = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count('done before') == 6
