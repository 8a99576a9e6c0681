"""YAML from anywhere: plain data with unique keys, or one line that says what is wrong.

PyYAML tells many faults by exceptions of Python's own, and loads what no program can walk through:
a structure that holds itself, or a kilobyte of aliases that stands for billions of values.
"""

from pathlib import Path
from typing import Any

import yaml

from espnet_otreg.errors import UserError

REPEATED = 10  # so many times more values than are written may come from aliases
ALWAYS = 10_000  # values that are never too many
DIGITS = 1024  # binary ones, of the largest float
_PLAIN = (str, int, float, type(None))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping of options: mappings with text as keys, lists, text, numbers, truth values."""
    return parse_yaml(path.read_bytes(), path)


def parse_yaml(text: bytes, path: Path) -> dict[str, Any]:
    """Read what was in a file, which errors name."""
    try:
        content = _parsed(text.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of options, got {type(content).__name__}")
    return content


def _parsed(text: str) -> Any:
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            known: dict[int, int] = {}
            values = _values(node, known)
            if values > ALWAYS + REPEATED * len(known):
                raise UserError(
                    f"its aliases stand for {values:,} values, too many; write them out"
                )
            content = loader.construct_document(node)
        finally:
            loader.dispose()
        _check_plain(content, "")
    except RecursionError as error:
        raise UserError("it is nested too deeply, or holds itself; write it flatter") from error
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # what PyYAML's constructors raise, such as for !!int x or a 13th month
        raise UserError(f"a value does not suit its type ({error!r}); quote it") from error
    return content


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node stands for, aliases followed; its mappings must be sound."""
    if id(node) not in known:
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        elif node.tag == "tag:yaml.org,2002:map":
            raise UserError(f"line {node.start_mark.line + 1}: expected a mapping after !!map")
        known[id(node)] = 1 + sum(_values(part, known) for part in inner)
    return known[id(node)]


def _check_keys(node: yaml.MappingNode) -> None:
    """Refuse a key that is there twice, of which PyYAML takes the last."""
    seen: set[str] = set()
    doubled: dict[str, None] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            doubled |= {key.value: None} if key.value in seen else {}
            seen.add(key.value)
    if doubled:
        raise UserError(
            f"{', '.join(map(repr, sorted(doubled)))} is there twice in the block of line "
            f"{node.start_mark.line + 1}; rename or remove one"
        )


def _check_plain(value: Any, where: str) -> None:
    """Refuse what options cannot be: dates, sets, bytes, keys that are no text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UserError(f"{where or 'the file'} has the key {key!r}, not a text; quote it")
            _check_plain(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for inner in value:
            _check_plain(inner, where)
    elif isinstance(value, int) and value.bit_length() > DIGITS:
        raise UserError(f"{where} has more digits than a number can have; shorten it")
    elif not isinstance(value, _PLAIN):
        kind = type(value).__name__
        raise UserError(f"{where} is a {kind}, {value!s:.60}; quote it to make it a text")
