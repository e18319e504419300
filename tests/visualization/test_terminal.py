"""The line at the bottom of a terminal, and what is written above it."""

import io
import os
import pty
import select
import sys

import pytest

from detco_mm.visualization.terminal import ProgressLine, can_draw
from tests.integration.terminal import screen


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns that is sys.stdout, and a function that returns what was written to it."""
    master, slave = pty.openpty()
    monkeypatch.setenv('TERM', 'xterm-256color')
    monkeypatch.setenv('COLUMNS', '80')
    monkeypatch.delenv('NO_COLOR', raising=False)
    file = open(slave, 'w', buffering=1)

    def written():
        text = b''
        while select.select([master], [], [], 0.02)[0]:
            text += os.read(master, 65536)
        return text.decode().replace('\r\n', '\n')

    yield file, written
    file.close()
    os.close(master)


def shown(file, monkeypatch):
    monkeypatch.setattr(sys, 'stdout', file)  # in the test itself: pytest sets its own before
    line = ProgressLine(file)
    line.show()
    line.begin('training', 1000)
    line.update(120, 452.3, 201, {'loss': 6.9314, 'g2g_res5': 0.5, 'a_long_name_of_a_loss': 1.0})
    return line


def test_all_is_said_in_one_line_below_what_is_printed_and_nothing_is_left(terminal, monkeypatch):
    file, written = terminal
    line = shown(file, monkeypatch)
    print('[bold]a line\x1b[0m :smile:')
    print('and another', 'x' * 200)
    text = written()
    first, second, last = screen(text)
    assert (first, second) == ('[bold]a line :smile:', f'and another {"x" * 200}')
    assert (
        last.split()
        == 'training ━━━━━━━━━━━━━━━━ 12% 120/1,000 3:21 left 452 images/s loss 6.931'.replace(
            '━' * 16, last.split()[1]
        ).split()
    )
    assert len(last.rstrip()) <= 80 and '\x1b[?25' not in text
    line.close()
    assert sys.stdout is file and not any(screen(text + written())[2:])


def test_a_question_keeps_its_line_until_it_is_answered(terminal, monkeypatch):
    file, written = terminal
    line = shown(file, monkeypatch)
    print('sure? ', end='', flush=True)
    line.update(130)
    text = written()
    assert screen(text)[-1] == 'sure? '
    print('yes')
    text += written()
    assert screen(text)[-2] == 'sure? yes' and screen(text)[-1].startswith('training')
    line.close()


def test_what_a_data_worker_prints_has_lines_of_its_own(terminal, monkeypatch):
    file, written = terminal
    line = shown(file, monkeypatch)
    written()
    if (pid := os.fork()) == 0:
        print('from a worker')
        os._exit(0)
    os.waitpid(pid, 0)
    line.update(140)
    rows = screen(written())
    assert rows[0] == 'from a worker' and rows[1].startswith('training') and len(rows) == 2
    line.close()


def test_an_evaluation_takes_the_place_of_the_training_while_it_lasts(terminal, monkeypatch):
    file, written = terminal
    line = shown(file, monkeypatch)
    line.begin('evaluating', 8)
    line.update(2)
    text = written()
    assert screen(text)[-1].split()[0] == 'evaluating' and '25% 2/8' in screen(text)[-1]
    line.end()
    assert screen(text + written())[-1].startswith('training')
    line.close()


def test_without_colours_or_on_a_narrow_terminal_it_is_still_one_line(terminal, monkeypatch):
    file, written = terminal
    monkeypatch.setenv('NO_COLOR', '1')
    monkeypatch.setenv('COLUMNS', '30')
    line = shown(file, monkeypatch)
    text = written()
    assert '\x1b[3' not in text and '\n' not in text and len(screen(text)[-1]) <= 30
    line.close()


def test_files_pipes_and_dumb_terminals_are_left_alone(terminal, monkeypatch):
    file, _ = terminal
    assert can_draw(file) and not can_draw(io.StringIO()) and not can_draw(None)
    monkeypatch.setenv('FORCE_COLOR', '1')
    assert not can_draw(io.StringIO())
    monkeypatch.setenv('TERM', 'dumb')
    assert not can_draw(file)
