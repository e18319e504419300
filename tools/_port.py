"""Whether the ranks of a run can meet at a port of this machine; tools/launch.sh asks before it starts them."""

import socket
import sys

if __name__ == '__main__':
    port = sys.argv[1]
    if not port.isdigit() or not 0 < int(port) < 65536:
        sys.exit(f'PORT="{port}": give a number from 1 to 65535')
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PyTorch does, for ports of runs just ended
        try:
            tried.bind(('', int(port)))
        except OSError as error:
            sys.exit(
                f'PORT={port} cannot be used on this machine ({error.strerror}): set PORT to another one, the same on '
                'every machine; a run on one machine alone needs none, and finds a free one itself'
            )
