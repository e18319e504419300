"""A pseudo terminal for a command, and what is left on its screen."""

import fcntl
import os
import re
import struct
import termios
import threading
import time

from tests.integration.forked import Forked


class Terminal:
    """Run a script of Python's with its output, and its errors, on a terminal.

    Args:
        line: the script and its arguments.
        columns: width.
        variables: of the environment, beside those of this process.
    """

    def __init__(self, line, columns=100, **variables):
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
        self._before = termios.tcgetattr(slave)
        self._slave = slave
        self.written = b''
        others = {name: text for name, text in os.environ.items() if name not in ('COLUMNS', 'NO_COLOR', 'FORCE_COLOR')}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with open(slave, 'wb', buffering=0, closefd=False) as file:
            own = {'OMP_NUM_THREADS': '1', 'TERM': 'xterm-256color', **variables}
            self.process = Forked(line, file, file, env=others | own)

    def _read(self):
        while True:
            try:
                self.written += os.read(self._master, 65536)
            except OSError:  # nobody has it open any more
                return

    def wait_for(self, text, timeout=60):
        """Wait until it is on the terminal."""
        for _ in range(20 * timeout):
            if text in self.text:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f'{text!r} is not in {self.text}')

    def wait(self, timeout=300):
        """Wait for the end; return the exit code, and whether the terminal's modes are those of before."""
        code = self.process.wait(timeout)
        same = termios.tcgetattr(self._slave) == self._before
        os.close(self._slave)
        self._reader.join(5)
        os.close(self._master)
        return code, same

    @property
    def text(self):
        """All that was written, as it is."""
        return self.written.decode(errors='replace')


def screen(text):
    """What a terminal as wide as needed shows in the end, without colours."""
    lines, row, column = [''], 0, 0
    for part in filter(None, re.split(r'(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)', text)):
        if part == '\n':
            row += 1
            lines += [''] * (row + 1 - len(lines))
        elif part == '\r':
            column = 0
        elif part == '\x1b[2K':
            lines[row] = ''
        elif part == '\x1b[1A':
            row -= 1
        elif part.startswith('\x1b'):
            assert part.endswith('m'), f'{part!r} is neither a colour nor understood here'
        else:
            lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + len(part) :]
            column += len(part)
    return lines
