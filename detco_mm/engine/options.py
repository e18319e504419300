"""KEY=VALUE options of a command line: read as they are meant, and refused where nothing would read them."""

import ast
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

#: Last parts of names whose values are text, though a config may have None there.
_TEXT = ('root', 'data_root', 'ann_file', 'checkpoint', 'load_from', 'work_dir', 'experiment_name', 'type')
#: Short ways to settings.
_ALIASES = {'max_epochs': 'train_cfg.max_epochs'}
#: Sections without a ``type``: what MMEngine's Runner, and engine/settings.py of `data`, read of them.
_LOADER = {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch'}
_LOOP = {'type', 'by_epoch', 'max_epochs', 'max_iters', 'val_begin', 'val_interval', 'dynamic_intervals', 'fp16'}
_SECTIONS: dict[str, set[str]] = {
    '': {*inspect.signature(Runner).parameters, 'data', 'runner_type', 'custom_imports', 'sync_bn', 'compile'}
    | {'find_unused_parameters', 'model_wrapper_cfg', 'activation_checkpointing', 'efficient_conv_bn_eval'},
    'data': {'root', 'ann_file', 'channels', 'bands', 'value_range', 'percentiles', 'nodata', 'held_out'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'default_hooks': {'runtime_info', 'timer', 'logger', 'param_scheduler', 'checkpoint', 'sampler_seed'}
    | {'progress', 'report'},
    **{f'{part}_dataloader': _LOADER for part in ('train', 'val', 'test')},
    **{f'{part}_cfg': _LOOP for part in ('train', 'val', 'test')},
}
#: What builders take out of a typed section before they call its class.
_BUILDERS = {'type', '_scope_', 'priority', 'convert_to_iter_based', 'constructor', 'paramwise_cfg'}


def read_options(texts: Sequence[str], cfg: Config) -> dict[str, Any]:
    """Turn KEY=VALUE into overrides of a config.

    A value is a number, true, false, None, a list such as ``1,2`` or ``[a,b]``, or text. Where the config has text, it
    stays text to the last blank and comma: a folder may be called ``my images, 2``. Quotes around all of it are taken
    off.

    Args:
        texts: ``data.root=my images``, ``train_dataloader.batch_size=8``.
        cfg: what they are to override.

    Returns:
        Dotted name -> value, for ``Config.merge_from_dict``.

    Raises:
        ValueError: if a text has no ``=``, or its setting does not exist; it names the nearest that does.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition('=')
        if not equals:
            raise ValueError(f'--cfg-options {text}: write KEY=VALUE')
        name = _ALIASES.get(name, name) if name not in _SECTIONS[''] else name
        options[name] = _value(value, name.split('.')[-1], _at(cfg, name.split('.')))
    for name in options:
        _refuse_unread(name, cfg, options)
    return options


def _value(text: str, last: str, current: Any) -> Any:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'
    if isinstance(current, str) or last == 'root' or (last in _TEXT and text[:1] not in '[('):
        return None if text == 'None' else text[1:-1] if quoted else text
    return _parsed(text)


def _parsed(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            pass
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    else:
        return list(found) if isinstance(found, tuple) and not text.startswith('(') else found
    parts = list(_split(text[1:-1] if text[0] + text[-1] in ('[]', '()') else text)) if text else [text]
    if len(parts) == 1 and parts[0] == text:
        return text
    values = [_parsed(part.strip()) for part in parts]
    return tuple(values) if text.startswith('(') else values


def _split(text: str) -> Iterator[str]:
    """Cut at the commas that are in no bracket."""
    start = depth = 0
    for at, letter in enumerate(text):
        depth += (letter in '[(') - (letter in '])')
        if letter == ',' and depth == 0:
            yield text[start:at]
            start = at + 1
    if start < len(text):
        yield text[start:]


def _at(node: Any, names: Sequence[str]) -> Any:
    """What a config has under a dotted name; None if it has nothing there."""
    for name in names:
        if isinstance(node, list | tuple) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict | Config) and name in node:
            node = node[name]
        else:
            return None
    return node


def _refuse_unread(name: str, cfg: Config, options: Mapping[str, Any]) -> None:
    names = name.split('.')
    if names[0] not in _SECTIONS['']:
        if set(_copies(name, cfg)) & set(options):
            return  # a variable of the config, together with the settings that it stands for
        raise ValueError(f'--cfg-options {name}: nothing reads it{_instead(name, cfg)}')
    for depth, part in enumerate(names):
        above, path = _at(cfg, names[:depth]) if depth else cfg, '.'.join(names[:depth])
        if isinstance(above, list | tuple):
            if not part.isdigit() or int(part) >= len(above):
                raise ValueError(f'--cfg-options {name}: {path} is a list of {len(above)}, counted from 0')
            continue
        if above is None:  # a section that the config has not, and the options bring along
            if part not in _SECTIONS.get(path, {part}):
                raise ValueError(f'--cfg-options {name}: nothing reads it{_instead(name, cfg, path, _SECTIONS[path])}')
            return
        if not isinstance(above, dict | Config):
            raise ValueError(f'--cfg-options {name}: {path} is {above!r} and has no settings of its own')
        if part in above or f'{path}.{part}.type'.strip('.') in options:
            continue
        section = dict(above, type=options[f'{path}.type']) if f'{path}.type' in options else above  # another class
        known = _SECTIONS.get(path) if 'type' not in section or path in _SECTIONS else _arguments(section, cfg)
        if known is not None and part not in known:
            raise ValueError(f'--cfg-options {name}: nothing reads it{_instead(name, cfg, path, known)}')
        if known is not None:
            continue
        if near := difflib.get_close_matches(part, above, 1, 0.8):
            raise ValueError(f'--cfg-options {name}: is {".".join([*names[:depth], near[0]])} meant?')
        return


def _instead(name: str, cfg: Config, path: str = '', known: Iterable[str] = ()) -> str:
    """Name the nearest setting, if one is near."""
    if not path and name.split('.')[0] in cfg:
        if copies := _copies(name, cfg):
            return f', for the config has copied it: set {copies[0]}'
    settings = _settings(cfg) | {f'{path}.{one}' for one in known if path}
    depth, last = len(path.split('.')) if path else 0, name.split('.')[-1]
    part = name.split('.')[depth]
    near = difflib.get_close_matches(part, [*known, *(_at(cfg, path.split('.')) or ())], 1, 0.75) if path else []
    near = ['.'.join([path, *near, *name.split('.')[depth + 1 :]])] if near else []
    near = near or difflib.get_close_matches(name, settings, 1, 0.75)
    near = near or sorted((one for one in settings if one.split('.')[-1] == last), key=len)[:1]
    near = near or difflib.get_close_matches(name, settings, 1, 0.5)
    return f'; the nearest setting is {near[0]}' if near else ''


def _copies(name: str, cfg: Config) -> list[str]:
    """The settings that have the value of a variable of the config, or of a part of one."""
    first, *rest = name.split('.')
    value = cfg.get(first)
    known = _settings(cfg)
    return ['.'.join([other, *rest]) for other, found in _entries(cfg) if found == value and other in known]


def _settings(cfg: Config) -> set[str]:
    return {name for name, _ in _entries(cfg) if name.split('.')[0] in _SECTIONS['']}


def _entries(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Every dotted name of a config with its value, be it a number, a dict or a list."""
    entries = node.items() if isinstance(node, dict | Config) else enumerate(node)
    for key, value in entries:
        name = f'{path}.{key}' if path else str(key)
        yield name, value
        if isinstance(value, dict | list | tuple):
            yield from _entries(value, name)


def _arguments(section: dict, cfg: Config) -> set[str] | None:
    """The settings that the class of a section takes; None if that cannot be told."""
    kind = section['type']
    built = kind if callable(kind) else _registered(str(kind), cfg.get('default_scope') or 'mmengine')
    if built is None:
        return None
    names = _parameters(built)
    return None if names is None else names | _BUILDERS


def _registered(name: str, scope: str) -> Callable | None:
    for registry in vars(registries).values():
        if isinstance(registry, Registry) and registry.name not in ('function', 'inferencer', 'strategy'):
            with registry.switch_scope_and_registry(scope) as scoped:
                found = scoped.get(name)
            if found is not None:
                return found
    return None


def _parameters(built: Callable) -> set[str] | None:
    """Names of a callable's arguments, those that it passes on to its base classes included."""
    names: set[str] = set()
    makers: list[Any] = [built]
    if inspect.isclass(built):
        makers = [vars(one)['__init__'] for one in built.__mro__ if '__init__' in vars(one)]
    for function in makers:
        if function in (object.__init__, nn.Module.__init__):
            # it takes none; or the class before took any, and passed them on to somebody who is no base of it
            return None if function is not makers[0] else set()
        kinds = inspect.signature(function).parameters.values()
        names |= {one.name for one in kinds if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if not any(one.kind == one.VAR_KEYWORD for one in kinds):
            return names - {'self'}
    return None
