"""Users' mistakes in one line: what a user can fix ends a tool with a message, and only a bug with a stack trace."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from torch import OutOfMemoryError

from detco_mm.datasets.coco_labels import LabelError
from detco_mm.datasets.text import read_json


def read_config(path: str | Path, beside: Path | None = None) -> Config:
    """Read a config.

    Args:
        path: of the config; relative to the current folder or else to `beside`.
        beside: folder that holds the project's ``configs/``; by default that of the package.

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if it builds on the configs of a package that is not installed.
        ValueError: if it cannot be read as a config; it says which file and why.
    """
    own = beside or Path(__file__).parents[1] / '.mim'
    found = next((place for place in (Path(path), own / path) if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f'no config at "{path}": give the path of a config, such as those in configs/')
    try:
        return Config.fromfile(found)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{_said(error)} (needed by config "{path}")') from error
    except Exception as error:  # a config is a program: it may raise anything
        cause = error.__cause__ or error
        at = f', line {cause.lineno}' if isinstance(cause, SyntaxError) and cause.lineno else ''
        raise ValueError(f'config "{path}"{at} cannot be read: {_said(error)}') from error


@contextmanager
def building(cfg: Config) -> Iterator[None]:
    """Blame the config for what goes wrong while a run is built from it.

    Raises:
        FileNotFoundError, ValueError: in place of the exceptions of a file that cannot be read, with its setting, and
            of those by which constructors refuse their arguments, as far as :func:`explain` does not know better.
    """
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(_unreadable(cfg) or f'a file that is read as text or JSON is none: {_said(error)}') from error
    except OSError as error:
        if error.filename is None:
            raise
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f'{_named(error.filename, cfg)}: {error.strerror}') from error
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        if explain(error) is not None:
            raise
        raise ValueError(f'the run cannot be built from its config: {type(error).__name__}: {_said(error)}') from error


def explain(error: Exception) -> str | None:
    """Say in one line what a user can fix about an exception.

    Args:
        error: of this package, or of MMEngine, MMDetection, PyTorch, pycocotools.

    Returns:
        The line; None if the exception tells of a bug.
    """
    if isinstance(error, LabelError):
        return f'ValueError: {error}'  # not cut short: it holds settings to copy
    said = _said(error)
    for kind, pattern, line in _KNOWN:
        if isinstance(error, kind) and (found := re.search(pattern, _text(error), re.S)):
            return line(found)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f'ValueError: a file that is read as text or JSON is none: {said}'
    if isinstance(error, OSError) and error.filename is not None:
        return f'{type(error).__name__}: "{error.filename}": {error.strerror or said}'
    if isinstance(error, ModuleNotFoundError):
        return f'ModuleNotFoundError: {said}; make setup installs what the configs here need'
    if isinstance(error, FileNotFoundError | ValueError):
        return f'{type(error).__name__}: {said}'
    return None


def _said(error: BaseException) -> str:
    """What an exception says, as one line; MMEngine's may hold a whole config."""
    text = ' '.join(_text(error).split())
    return (text if len(text) < 1000 else f'{text[:1000]} ...') or type(error).__name__


def _text(error: BaseException) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _files(cfg: Config) -> Iterator[tuple[str, str]]:
    """The settings of a config that are text, by their dotted names."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
        for key, value in node.items() if isinstance(node, dict | Config) else enumerate(node):
            name = f'{path}.{key}' if path else str(key)
            if isinstance(value, str):
                yield name, value
            elif isinstance(value, dict | list | tuple):
                yield from walk(value, name)

    # what is in use comes before the variables that a config has copied it from
    yield from sorted(walk(cfg, ''), key=lambda one: -one[0].count('.'))


def _named(file: str, cfg: Config) -> str:
    """A file that a run asked for, with the setting that it comes from, where one can be told."""
    ends = [(len(value), name) for name, value in _files(cfg) if value and str(file).endswith(value.lstrip('./'))]
    return f'"{file}" ({max(ends)[1]})' if ends else f'"{file}"'


def _unreadable(cfg: Config) -> str | None:
    """Name the JSON file of a config that cannot be read."""
    for name, value in _files(cfg):
        if value.endswith('.json') and Path(value).is_file():
            try:
                read_json(value)
            except ValueError as error:
                return str(error).replace(f'"{value}"', f'"{value}" ({name})', 1)
    return None


def _unknown_type(found: re.Match) -> str:
    name, scope, kind = found.groups()
    known: set[str] = set()
    for registry in vars(registries).values():
        if isinstance(registry, Registry) and registry.name == kind:
            for child in (registry, *registry.children.values()):
                prefix = '' if child in (registry, registry.children.get(scope)) else f'{child.scope}.'
                known |= {f'{prefix}{one}' for one in child.module_dict}
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"ValueError: type='{name}' is no {kind} of {scope}" + (f"; the nearest is '{near[0]}'" if near else '')


def _unknown_argument(found: re.Match) -> str:
    kind, name = found.groups()
    return f'ValueError: {kind} has no setting "{name}": take it out of the config or the options, or fix its name'


def _lost_worker(found: re.Match) -> str:
    return (
        f'RuntimeError: a data worker was ended by the system ({found[1]}): mostly memory. Lower '
        'train_dataloader.num_workers or batch_size, or give the container more shared memory (/dev/shm)'
    )


def _no_memory(found: re.Match) -> str:
    return (
        'OutOfMemoryError: the GPU has too little memory: lower train_dataloader.batch_size or the image size, or '
        'train with --amp'
    )


def _in_worker(found: re.Match) -> str | None:
    return f'{found[1]} in a data worker: {" ".join(found[2].split())}'


def _same(found: re.Match) -> str:
    return f'ValueError: {" ".join(found[0].split())}'


#: Kind of exception, pattern in its text, and the line to say instead.
_KNOWN: tuple[tuple[type[Exception], str, Callable[[re.Match], str | None]], ...] = (
    (KeyError, r'(\S+) is not in the (\S+)::(.+?) registry', _unknown_type),
    (TypeError, r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", _unknown_argument),
    (TypeError, r"(\w+)\(\) got an unexpected keyword argument '(\w+)'", _unknown_argument),
    (OutOfMemoryError, '', _no_memory),
    (RuntimeError, r'DataLoader worker .*? is killed by signal: (.+?)\.', _lost_worker),
    (Exception, r'Caught (ValueError|FileNotFoundError|OSError) in DataLoader worker.*\n\w+: (.+)$', _in_worker),
    (AssertionError, r'`?epoch_length`? must be a positive integer', lambda found: (
        'ValueError: the training data make no batch: add images, lower train_dataloader.batch_size, or look at what '
        'the data set leaves out')),
    (AssertionError, r'Results do not correspond to current coco set|annotation file format .* not supported', _same),
    (ValueError, r'need at least one array to concatenate', lambda found: (
        'ValueError: a data set has no image left: its annotation file lists none, or its classes are not those of the '
        'config (dataset.metainfo.classes)')),
    (IndexError, r'Target (-?\d+) is out of bounds', lambda found: (
        f'ValueError: a label of class {found[1]} is beyond the classes of the model: set its num_classes to those of '
        'the annotation file')),
    (RuntimeError, r'none of \d+ images in a row, out of .*', lambda found: (
        f'RuntimeError: {" ".join(found[0].split())}')),
    (Exception, r'OpenCV\(.*?\) .*error: \(.*?\) (.+) in function \'(\w+)\'', lambda found: (
        f"ValueError: OpenCV's {found[2]} refuses what a pipeline gives it ({found[1]}): look at its sizes")),
    (RuntimeError, r'invalid device ordinal', lambda found: (
        'RuntimeError: there are fewer GPUs than processes: start as many processes as GPUs, or look at '
        'CUDA_VISIBLE_DEVICES')),
)  # fmt: skip
