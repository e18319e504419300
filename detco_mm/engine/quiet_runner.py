"""QuietRunner: MMEngine's Runner, whose terminal shows what a user needs."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from detco_mm.engine.hooks.overview import Overview

#: Starts of messages of MMEngine that say what the user wrote or what cannot be acted upon. The first ones are facts
#: that the log file keeps; the others are in no log.
FILE_ONLY = (
    'System environment:',
    'Config:',
    'Hooks will be executed in the following order',
    'Distributed training is not used',
    'Checkpoints will be saved to',
    'paramwise_options --',
    'The `end` of',
    'load checkpoint from local path',
    'Auto resumed from',
)
NOWHERE = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias of',
    'The prefix is not set in metric class',
    'Reset by_epoch as',
)
#: Hooks of every run by the name under which a config sets them, or leaves them out with None.
HOOKS = {'progress': 'detco_mm.ShowProgress', 'report': 'detco_mm.WriteReport'}
SKIPPED_WEIGHT = 'is skipped since its requires_grad=False'


class QuietRunner(Runner):
    """Train as MMEngine's Runner does, bit for bit, and say less.

    Environment, config and lists of hooks are in the log file alone, and a line for each frozen weight is nowhere: the
    four lines of :class:`Overview` come first. Arguments are MMEngine's.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_hook(Overview())

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register hooks; a config that does not name ours, as MMDetection's, has them as well."""
        super().register_default_hooks({**{name: dict(type=kind) for name, kind in HOOKS.items()}, **(hooks or {})})

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build MMEngine's logger, with filters on its handlers."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            handler.addFilter(_is_useful)
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_for_the_terminal)
        return logger


def _is_useful(record: logging.LogRecord) -> bool:
    message = _start(record)
    return SKIPPED_WEIGHT not in record.getMessage() and not message.startswith(NOWHERE)


def _is_for_the_terminal(record: logging.LogRecord) -> bool:
    return not _start(record).startswith(FILE_ONLY)


def _start(record: logging.LogRecord) -> str:
    """What a message begins with, without empty lines and rulers."""
    return record.getMessage()[:200].lstrip('-\n ')
