"""Chains of commands that are stopped and go on."""

import sys
import time
from dataclasses import replace

import psutil
import pytest

from detco_mm.experiments.steps import (
    LAST_CHECKPOINT,
    Step,
    last_checkpoint,
    moved,
    option_list,
    overridden,
    run_chain,
    run_step,
)
from detco_mm.visualization.progress import Forecast
from tests.integration import forked
from tests.integration.forked import Forked

# A "training": counts to 40 in its folder, and with --resume goes on from where it was.
COUNTER = """
import sys, time
from pathlib import Path
file = Path(sys.argv[1], 'count')
file.parent.mkdir(exist_ok=True)
start = int(file.read_text()) if '--resume' in sys.argv and file.is_file() else 0
print('from', start)
for n in range(start, 40):
    file.write_text(str(n + 1))
    time.sleep(0.05)
"""
APPEND = 'import sys; open(sys.argv[1], "a").write(sys.argv[2])'


def append(name, letter, tmp_path, needs=()):
    return Step(name, name, [sys.executable, '-c', APPEND, str(tmp_path / 'trace'), letter], needs=needs)


@pytest.fixture
def chain(tmp_path):
    steps = [
        append('a', 'a', tmp_path),
        append('sub/b', 'b', tmp_path, ('a',)),
        append('c', 'c', tmp_path),
        append('d', 'd', tmp_path, ('sub/b',)),
    ]

    def run(steps=steps, **options):
        trace = tmp_path / 'trace'
        trace.unlink(missing_ok=True)
        run_chain(steps, tmp_path / 'work', tmp_path, **options)
        return trace.read_text() if trace.is_file() else ''

    return steps, run


def test_what_is_done_is_not_repeated(chain):
    _, run = chain
    assert [run(), run(), run(fresh=True), run(), run(always=['a'])] == ['abcd', '', 'abcd', '', 'a']


def test_a_changed_command_or_config_repeats_its_step_and_what_needs_it(chain):
    steps, run = chain
    run()
    assert run([replace(steps[0], config='lr = 1'), *steps[1:]]) == 'abd'
    assert run([*steps[:1], replace(steps[1], command=[*steps[1].command, 'x']), *steps[2:]]) == 'abd'


def test_a_step_stays_stale_when_the_chain_ends_between_it_and_what_it_needs(chain):
    steps, run = chain
    run()
    failing = replace(steps[1], command=[sys.executable, '-c', 'raise SystemExit(3)'])
    with pytest.raises(SystemExit):
        run([replace(steps[0], config='lr = 1'), failing, *steps[2:]])
    assert run([replace(steps[0], config='lr = 1'), *steps[1:]]) == 'bd'


def test_a_killed_training_goes_on_where_it_was(tmp_path):
    code = f"""
from pathlib import Path
from detco_mm.experiments.steps import Step, run_chain
folder = Path({str(tmp_path / 'run')!r})
step = Step('t', 'counting', [{sys.executable!r}, '-c', {COUNTER!r}, str(folder)], folder=folder, resume=['--resume'])
run_chain([step], Path({str(tmp_path / 'work')!r}), Path({str(tmp_path)!r}))
"""
    count = tmp_path / 'run/count'
    (tmp_path / 'chain.py').write_text(code)
    with open(tmp_path / 'log', 'w') as log:
        process = Forked([tmp_path / 'chain.py'], log, log)
    deadline = time.monotonic() + 120
    while not (count.is_file() and int(count.read_text() or 0) >= 5):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    (training,) = psutil.Process(process.pid).children()
    process.kill()  # and all that it has started, as when a machine goes down
    training.kill()
    process.wait()
    reached = int(count.read_text())
    assert 5 <= reached < 40
    assert forked.run([sys.executable, tmp_path / 'chain.py']).returncode == 0
    assert count.read_text() == '40'
    assert f'from {reached}' in (tmp_path / 'work/t.log').read_text()


def test_a_failing_step_shows_the_end_of_its_log_and_where_it_is(tmp_path, capsys):
    step = Step('x', 'trying', [sys.executable, '-c', 'print("the reason"); raise SystemExit(3)'])
    with pytest.raises(SystemExit) as stopped:
        run_step(step, '1 of 1', tmp_path / 'x.log', Forecast([1]), tmp_path)
    said = capsys.readouterr().out
    assert stopped.value.code == 1
    assert 'step 1 of 1: trying' in said and 'the reason' in said and str(tmp_path / 'x.log') in said
    assert 'exit code 3' in said


def test_a_step_gets_the_checkpoint_that_the_run_before_it_wrote(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('runs/epoch_2.pth\n')
    code = 'import sys; print(sys.argv[1])'
    step = Step('x', 'trying', [sys.executable, '-c', code, str(tmp_path / LAST_CHECKPOINT)])
    assert run_step(step, '1 of 1', tmp_path / 'x.log', Forecast([1]), tmp_path) > 0
    assert (tmp_path / 'x.log').read_text() == 'runs/epoch_2.pth\n'
    assert last_checkpoint(tmp_path) == 'runs/epoch_2.pth'


def test_paths_of_the_data_are_moved_wherever_they_stand_and_others_are_not():
    sets = [{'root': 'data/embedded'}, {'root': 'data/embedded2'}]
    config = {'data_root': 'data/embedded/', 'loader': {'sets': sets}, 'lr': 0.1}
    found = moved(config, 'data/embedded', 'data/other')
    assert found == {'data_root': 'data/other/', 'loader.sets.0.root': 'data/other'}


def test_options_on_the_command_line_mean_what_they_mean_in_the_plan():
    from mmengine.config import DictAction

    options = {'train_cfg.max_iters': 7, 'param_scheduler.1.milestones': [3, 5], 'work_dir': 'a/b', 'x': None}
    parsed = {}
    for text in option_list(options):
        key, value = text.split('=', 1)
        parsed[key] = DictAction._parse_iterable(value)
    assert parsed == options
    config = overridden('configs/mini/mask-rcnn_r18_fpn_embedded.py', {'param_scheduler.1.milestones': [3, 5]})
    assert config.param_scheduler[1].milestones == [3, 5]
