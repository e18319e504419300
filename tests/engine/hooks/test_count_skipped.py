"""The share of files that cannot be used stops a run, on every rank, with what a user needs to know."""

import os
import re

import pytest

from detco_mm.engine.errors import RunStopped
from detco_mm.engine.hooks import CountSkipped
from tests.engine.hooks.test_hooks import train
from tests.integration.ranks import on_ranks
from tests.integration.small_run import CONFIG, command, photographs, start

EAGER = [
    'default_hooks.count_skipped.interval=10',
    'train_cfg.max_epochs=8',
    'default_hooks.checkpoint.interval=8',
    'default_hooks.logger.interval=50',
]


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """40 images, of which every fifth is none; in a sorted order they all go to the second of two ranks."""
    folder = photographs(tmp_path_factory.mktemp('images'), 40)
    for number, path in enumerate(sorted(folder.iterdir())):
        if number % 10 in (1, 7):
            path.write_bytes(b'' if number % 10 == 1 else path.read_bytes()[:400])
    return folder


def ended(tool, *arguments, log, options, **environment):
    """Exit code and output of a training run."""
    run = start(command(tool, CONFIG, *arguments, options=[*options, *EAGER]), log, **environment)
    return run.wait(200), log.read_text()


def test_too_many_skipped_files_stop_a_run_with_share_limit_reasons_and_paths(images, tmp_path):
    options = [f'data.root={images}', 'train_dataloader.num_workers=2']
    code, said = ended('tools/train.py', '--work-dir', tmp_path / 'run', log=tmp_path / 'log', options=options)
    assert code == 1, said
    (message,) = re.findall('.*tries to use a file failed.*', said)
    skipped, tried, share = re.search(r'(\d+) of (\d+) tries to use a file failed, ([\d.]+) %', message).groups()
    assert 200 <= int(tried) <= 300 and 0.1 < int(skipped) / int(tried) < 0.3 and float(share) > 10
    assert 'above the limit of 5 %' in message and 'raise default_hooks.count_skipped.max_share' in message
    assert re.search(r'\d+ truncated or damaged', message) and re.search(r'\d+ empty', message)
    paths = re.search(r'such as (.*?)\. The log', message)[1].split(', ')
    assert len(paths) == 5 and all(re.search(rf'skipped {path}: \w', said) for path in paths)


def test_one_rank_with_bad_files_stops_both(images, tmp_path):
    options = [f'data.root={images}', 'train_dataloader.sampler.shuffle=False', 'model.queue_len=16']
    code, said = ended(
        'tools/dist_train.sh', '2', '--work-dir', tmp_path / 'run', log=tmp_path / 'log', options=options
    )
    assert code != 0
    assert said.count('tries to use a file failed') == 1 and 'Traceback (most recent' not in said.split('tries to')[0]


def refused(rank, images, folder):
    os.environ['LOCAL_RANK'] = str(rank)  # as torchrun sets it
    options = {
        'train_dataloader.sampler.shuffle': False,
        'model.queue_len': 16,
        'default_hooks.count_skipped.interval': 10,
    }
    try:
        train(folder / str(rank), images, **options, **{'train_cfg.max_epochs': 8}, launcher='pytorch')
    except RunStopped as error:
        return str(error)


def test_both_ranks_stop_at_the_same_step_with_the_same_words(images, tmp_path):
    first, second = on_ranks(refused, 2, images, tmp_path)
    assert first == second
    assert re.match(r'\d+ of 2\d\d tries .*: \d+ [a-z ]+, \d+ [a-z ]+; such as \S*[17].jpg, ', first)


def test_a_raised_limit_lets_the_run_go_on(images, tmp_path):
    options = {'train_cfg.max_epochs': 8}
    with pytest.raises(RunStopped, match='above the limit of 5 %'):
        train(tmp_path / 'strict', images, **options)
    log = train(tmp_path / 'lax', images, **options, **{'default_hooks.count_skipped.max_share': 0.5})
    assert re.search(r'\d+ times up to now an image could not be decoded .*: \d+ [a-z ]+, \d+ [a-z ]+', log)


@pytest.mark.parametrize('options', [dict(max_share=-0.1), dict(max_share=1.5), dict(interval=0)])
def test_an_option_out_of_range_is_named(options):
    with pytest.raises(ValueError, match=f'{next(iter(options))}={next(iter(options.values()))}'):
        CountSkipped(**options)
