"""A `python` whose scripts are children of tests/server.py: for tools that start tools, and for shell scripts.

tests/integration/forked.py writes the program that calls this one, ``shim.py SOCKET ARGUMENTS...``. It stays until the
script has ended, passes signals on to it, and ends as it ended; if it is killed itself, the server kills the script.
`forked.behind` knows the script's process by this one's. torchrun is started in the same way. Whatever else is not
``[-u] SCRIPT.py ...`` is done by the real interpreter.
"""

import json
import os
import signal
import socket
import sys

path, *arguments = sys.argv[1:]
line = arguments[1:] if arguments[:1] == ['-u'] else arguments
module = 'torch.distributed.run' if line[:2] == ['-m', 'torch.distributed.run'] else None
line = line[1:] if module else line
if not module and (not line or not line[0].endswith('.py')):
    os.execv(sys.executable, [sys.executable, *arguments])

reading, writing = os.pipe()
request = dict(
    line=line,
    cwd=os.getcwd(),
    env=dict(os.environ),
    function=None,
    module=module,
    file_size=None,
    executable=os.path.join(os.path.dirname(path), 'python'),
)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(path)
    socket.send_fds(server, [json.dumps(request).encode()], [1, 2, writing])
os.close(writing)
report = os.fdopen(reading)
pid = int(report.readline())
with open(os.path.join(os.path.dirname(path), str(os.getpid())), 'w') as note:
    note.write(str(pid))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
code = int(report.readline())
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
