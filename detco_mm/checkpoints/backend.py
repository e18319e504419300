"""SealedBackend: how runs of this project write their checkpoints, and nobody else's files."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.sealing import seal

#: The ``backend_args`` of MMEngine that choose it.
SEALED = dict(backend='detco_mm.sealed')


class SealedBackend(LocalBackend):
    """MMEngine's LocalBackend, which writes files atomically and, if they are PyTorch's, with a checksum in them.

    LocalBackend leaves half a file under its final name if a run is killed while it writes; and nobody notices
    bits that change on the disk.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file; arguments as in LocalBackend."""
        write_atomically(filepath, *seal(obj))


register_backend(SEALED['backend'], SealedBackend, force=True)
