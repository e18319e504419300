"""The config that MMEngine writes into a checkpoint, read without executing it."""

import ast
from collections.abc import Mapping
from typing import Any


def read_config_text(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``meta.cfg``, which is Python's text; MMEngine's own reader executes it, whoever wrote it.

    Args:
        checkpoint: what :func:`detco_mm.checkpoints.reading.load_checkpoint` returns.

    Returns:
        The settings as plain dicts, lists and tuples; empty if the checkpoint has no config, or one that is more than
        literals.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    try:
        statements = ast.parse(text if isinstance(text, str) else '').body
        return {
            statement.targets[0].id: _value(statement.value)
            for statement in statements
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return {}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        (given,) = node.args or [ast.Dict([], [])]  # dict({...}) where keys are no names
        return _value(given) | {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(key): _value(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.List):
        return [_value(entry) for entry in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(entry) for entry in node.elts)
    return ast.literal_eval(node)
