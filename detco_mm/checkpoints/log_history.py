"""The history of logged scalars: in checkpoints as plain types, and no longer than it is of use.

MMEngine pickles objects of its class HistoryBuffer into checkpoints, which PyTorch 2.6 and newer refuse to load
(``Weights only load failed ... HistoryBuffer``, https://github.com/open-mmlab/mmengine/issues/1655). As numbers and
lists they load without executing anything. A plain MMEngine resumes such a checkpoint too, with everything but these
histories, which it names and skips.
"""

from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer, MessageHub

#: Values that are kept of each scalar. MMEngine keeps a million, and copies all of them at each step (``np.append``):
#: for DetCo's 26 scalars 0.2 ms a step at 10,000 values and 44 ms at a million, where 200 epochs of ImageNet end. The
#: log averages over ten steps.
KEPT = 10_000


def to_builtin_types(value: Any) -> Any:
    """Replace HistoryBuffers by the arguments that build them, NumPy's numbers and arrays by Python's."""
    if isinstance(value, HistoryBuffer):
        log_history, count_history = value.data
        return dict(log_history=log_history.tolist(), count_history=count_history.tolist(), max_length=value.max_length)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: to_builtin_types(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_builtin_types(entry) for entry in value)
    return value


def rebuild_history(checkpoint: dict[str, Any]) -> None:
    """Put HistoryBuffers back where a checkpoint has the arguments that build them, in place."""
    scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
    for key, value in scalars.items():
        if isinstance(value, dict):
            scalars[key] = HistoryBuffer(**value)


def shorten_history(hub: MessageHub, kept: int) -> None:
    """Have every scalar of a message hub forget what is older than so many values, from its next one on."""
    for buffer in hub.log_scalars.values():
        if buffer.max_length > kept:
            buffer.max_length = kept
