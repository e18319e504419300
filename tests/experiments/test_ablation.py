"""Studies: what is run, what is read back, what is written."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
from mmengine.config import Config

from detco_mm.experiments.ablation import Method, Study, Task, collect, course, plan
from detco_mm.experiments.data_sets import DataSet
from detco_mm.experiments.outcome import headings, write_outcome
from detco_mm.experiments.results import Result, differences_table, from_csv, paired, results_table
from tests.integration import forked

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
    steps = {step.name: step for step in plan(STUDY, Path('work'), ROOT)}
    assert 'work/detco/seed_1/backbone.pth' in steps['detco/seed_1/all-labels'].command
    assert not any('.pth' in part for part in steps['random-init/seed_1/all-labels'].command)
    trainings = [step for step in steps.values() if step.config]
    assert len(trainings) == 2 * 3
    for step in trainings:
        assert step.command[2] == str(step.config_file)
        assert Config.fromstring(step.config, '.py').randomness.seed == (1 if 'seed_1' in step.name else 0)


def data_set(root, classes):
    """Write an empty set in the layout of a study: 4 images of each split by name alone."""
    for part in ('train', 'val', 'test', 'unlabelled', 'annotations'):
        (root / part).mkdir(parents=True)
    categories = [dict(id=at, name=name) for at, name in enumerate(classes)]
    for split in ('train', 'val', 'test'):
        images = [dict(id=at, file_name=f'{at}.jpg', width=8, height=8) for at in range(4)]
        content = dict(images=images, annotations=[], categories=categories)
        (root / f'annotations/instances_{split}.json').write_text(json.dumps(content))
    return root


def test_weights_are_fine_tuned_as_they_are_and_gone_on_from_on_each_data_set_with_the_same_labels(tmp_path):
    sets = [DataSet('a', data_set(tmp_path / 'a', ['cat'])), DataSet('b', data_set(tmp_path / 'b', ['x y', 'z']))]
    study = replace(
        STUDY,
        methods=[
            Method('ImageNet', None, weights='r18.pth'),
            Method('ImageNet, then DetCo', 'configs/mini/detco_r18.py', weights='r18.pth'),
        ],
        tasks=[Task(f'{share} %', STUDY.tasks[0].config, share=share) for share in (50, 100)],
        data_sets=sets,
    )
    steps = {step.name: step for step in plan(study, tmp_path / 'work', ROOT)}
    assert sum(name.endswith('pretrain') for name in steps) == 2 * 2  # one for each set and seed, whatever the tasks
    assert steps['b/imagenet-then-detco/seed_0/pretrain'].command[-2:] == ['--from', 'r18.pth']
    assert steps['b/imagenet/seed_0/50'].command[3] == 'r18.pth'
    led = Config.fromstring(steps['b/imagenet/seed_1/50'].config, '.py')
    assert led.train_dataloader.dataset.ann_file.endswith('work/b/labels/seed_1/instances_train_50pct.json')
    assert tuple(led.test_dataloader.dataset.metainfo.classes) == ('x y', 'z')
    assert led.model.roi_head.bbox_head.num_classes == led.model.roi_head.mask_head.num_classes == 2
    assert led.test_evaluator.ann_file == str(sets[1].labels('test'))
    assert all(set(step.needs) <= set(steps) for step in steps.values())
    drawn = steps['b/labels/seed_1/50pct'].command
    assert forked.run([sys.executable, *drawn[1:]]).returncode == 0
    assert len(json.loads(Path(led.train_dataloader.dataset.ann_file).read_text())['images']) == 2
    shutil.rmtree(sets[0].unlabelled)
    with pytest.raises(FileNotFoundError, match='data set a: no ".*unlabelled": a study expects'):
        plan(study, tmp_path / 'work', ROOT)
    with pytest.raises(ValueError, match='name the data set to draw it from'):
        plan(replace(study, data_sets=()), tmp_path / 'work', ROOT)


def test_differences_are_taken_seed_by_seed_with_students_interval():
    values = {'old': (0.10, 0.20, 0.30), 'new': (0.12, 0.21, 0.33)}
    results = [Result(name, at, 't', 'bbox_mAP', value) for name, row in values.items() for at, value in enumerate(row)]
    found = paired([*results, Result('new', 7, 't', 'bbox_mAP', 0.9)], 't', 'bbox_mAP', 'old')['new']
    theirs = scipy.stats.ttest_rel([12, 21, 33], [10, 20, 30]).confidence_interval(0.95)
    assert found.seeds == 3 and found.mean == pytest.approx(2.0)
    assert found.half_width is not None and found.mean + found.half_width == pytest.approx(theirs.high)
    table = differences_table(results, {'AP': ('t', 'bbox_mAP')}, 'old')
    assert table == [['', 'AP'], ['new', f'+2.0 [{theirs.low:+.1f}, {theirs.high:+.1f}] (3)']]


def test_the_course_is_read_back_and_drawn(tmp_path):
    for seed in STUDY.seeds:
        log = tmp_path / f'detco/seed_{seed}/all-labels/1/vis_data/scalars.json'
        log.parent.mkdir(parents=True)
        rows = [dict(loss=1.0, iter=1, step=1), dict(step=5) | {'coco/bbox_mAP': 0.01 * seed}]
        log.write_text('\n'.join(map(json.dumps, rows)))
    found = course(STUDY, tmp_path)
    assert found == {'all labels': {'DetCo': [{5: 0.0}, {5: 1.0}]}}
    files = write_outcome(RESULTS, tmp_path / 'out', 'results', 'A study', (), {}, 'random init', found)
    assert files[-1].name == 'results-course.png' and files[-1].read_bytes().startswith(b'\x89PNG')
    page = files[1].read_text()
    assert 'results-course.png' in page and 'Differences to random init' in page and '+3.0 (1) |' in page


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


def test_what_an_earlier_study_found_is_not_run_again_and_stays_in_the_table(tmp_path):
    known = [result for result in RESULTS if (result.method, result.seed) != ('DetCo', 1)]
    study = replace(STUDY, known=known)
    assert {step.name.rsplit('/', 1)[0] for step in plan(study, tmp_path, ROOT)} == {'detco/seed_1'}
    assert collect(study, tmp_path) == known
    folder = tmp_path / 'detco/seed_1'
    folder.mkdir(parents=True)
    (folder / 'all-labels-test.json').write_text(json.dumps({'coco/bbox_mAP': 0.25}))
    (folder / 'all-labels-test.done.json').write_text('{}')
    assert collect(study, tmp_path) == [*known, Result('DetCo', 1, 'all labels', 'bbox_mAP', 0.25)]
    with pytest.raises(ValueError, match="columns .'a', 'b'., that of a study has"):
        from_csv('a,b\n1,2\n')


def test_the_table_gives_mean_and_sample_deviation_and_leaves_undefined_values_out():
    detection = headings(RESULTS)[0]
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


# What makes a step of configs/mini/mocov2_r18.py cheap.
NARROW_MOCO = [
    'model.backbone.stem_channels=8',
    'model.backbone.base_channels=8',
    'model.neck.out_channels=16',
    'model.queue_len=8',
    'train_dataloader.batch_size=8',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.pipeline.0.global_size=32',
]


def two_iterations(tmp_path):
    """Make a few scenes; return their folder, and options that train the mini detector on them for two iterations."""
    data = tmp_path / 'data'
    made = [sys.executable, 'tools/make_data.py', data, '--unlabelled', 16, '--train', 4, '--val', 2, '--test', 2]
    assert forked.run(made).returncode == 0
    detector = {'data_root': f'{data}/', 'train_cfg.max_iters': 2, 'train_cfg.val_interval': 3}
    detector |= {'default_hooks.checkpoint.interval': 2, 'train_dataloader.dataset.indices': 4}
    detector |= {'model.backbone.stem_channels': 8, 'model.backbone.base_channels': 8}
    detector['model.neck.in_channels'] = '[8,16,32,64]'
    for split in ('train', 'val', 'test'):
        detector[f'{split}_dataloader.dataset.data_root'] = f'{data}/'
        detector[f'{split}_dataloader.num_workers'] = 0
        detector[f'{split}_dataloader.persistent_workers'] = False
    for split in ('val', 'test'):
        detector[f'{split}_evaluator.ann_file'] = f'{data}/annotations/instances_{split}.json'
    return data, [f'{key}={value}' for key, value in detector.items()]


def test_a_whole_ablation_ends_with_a_table_and_is_not_repeated(tmp_path):
    data, options = two_iterations(tmp_path)
    line = [forked.python(), 'tools/ablate.py', 'configs/mini/mocov2_r18.py', '--random', '--seeds', '3']
    line += ['--finetune', 'configs/mini/mask-rcnn_r18_fpn_embedded.py', '--work-dir', str(tmp_path / 'work')]
    line += ['--cfg-options', f'data.root={data}/unlabelled', 'train_cfg.max_epochs=1', *NARROW_MOCO]
    line += ['--finetune-options', *options]
    first = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout[-4000:] + first.stderr[-2000:]
    assert '| random init |' in first.stdout and '| mocov2_r18' in first.stdout
    results = from_csv((tmp_path / 'work/results.csv').read_text())
    assert {(r.method, r.seed) for r in results} == {('random init', 3), ('mocov2_r18', 3)}
    assert {'bbox_mAP', 'segm_mAP'} <= {r.metric for r in results}
    # a table of a shortened training says so
    page = (tmp_path / 'work/results.md').read_text()
    assert 'train_cfg.max_epochs=1' in page and 'train_cfg.max_iters=2' in page
    again = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count('done before') == 6
