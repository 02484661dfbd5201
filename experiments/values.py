"""Values as they are written, in YAML files and `key=value` words, and what they are for a field of a given type.

The field's type decides what a value is: `007`, `true`, `1:20` or `my #1 store` are text for a text field, whatever
YAML takes them for, and no number is made of what is not plainly one.
"""

import contextlib
import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from conventions.errors import UserError, nearest
from conventions.files import reason_of

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_NULL = ("null", "~", "")
_WHOLE = re.compile(r"[-+]?(0|[1-9]\d*(_\d+)*)")
_NUMBER = re.compile(r"[-+]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_LARGEST = 2**63 - 1
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "merge", "str", "int", "float", "bool", "null")}
_TAGS |= {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
_DEEPEST = 50
"""Levels of nesting in a YAML file."""


class Plain(str):
    """A value as it is written, without quotes: its own text, of no type yet."""

    __slots__ = ()


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; UserError where it cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {reason_of(error)}") from error


def parse_mapping(path: Path, text: str) -> dict[str, Any]:
    """A YAML mapping whose unquoted scalars are `Plain`; UserError for anything else, one key twice, or a tag."""
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{path}: not readable as YAML: {reason_of(error)}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of keys to values")
    return values


def parse_yaml(text: str) -> Any:
    """Mappings, lists and scalars of a YAML text; unquoted scalars are `Plain`. ValueError where it is not sound."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(_place(error)) from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    return None if node is None else _value(node, 0)


def _place(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark and problem else reason_of(error)


def _value(node: yaml.Node, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply, or refers to itself")
    if node.tag not in _TAGS:
        raise ValueError(f"line {node.start_mark.line + 1}: the tag {node.tag} is not read")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, depth)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, depth + 1) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return str(node.value) if node.style else Plain(node.value)


def _mapping(node: yaml.MappingNode, depth: int) -> dict[str, Any]:
    """A mapping; `<<` merges the entries of others, which its own replace."""
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"line {key.start_mark.line + 1}: a key must be a string")
        value = _value(item, depth + 1)
        if key.tag.endswith(":merge"):
            for other in reversed(value if isinstance(value, list) else [value]):
                merged |= other if isinstance(other, dict) else {}
        elif key.value in own:
            raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value!r} is given twice")
        else:
            own[str(key.value)] = value
    return merged | own


def to_yaml(config: Any) -> str:
    """A dataclass as YAML in ASCII, which `parse_mapping` and `merge` read back as it is, odd names included."""
    return yaml.safe_dump(_listed(dataclasses.asdict(config)), sort_keys=False)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _listed(inner) for name, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, tuple) else value


def as_number(value: Any) -> int | float | None:
    """The number that a value as written is; None where it is none."""
    for kind in (_whole, _number):
        with contextlib.suppress(ValueError):
            return kind(value)
    return None


def is_null(value: Any) -> bool:
    """Whether a value as it is written stands for nothing."""
    return value is None or (isinstance(value, Plain) and value.lower() in _NULL)


def is_section(kind: Any) -> TypeGuard[type]:
    """Whether a field of this type holds further fields."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def convert(kind: Any, value: Any) -> Any:
    """A value as written, or of Python, as a value of a field's type; ValueError states what the type expects."""
    if kind in _PLAIN_KINDS:
        return _PLAIN_KINDS[kind](value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        [inner] = [one for one in arguments if one is not type(None)]
        return None if is_null(value) else convert(inner, value)
    if origin is typing.Literal:
        return _one_of(arguments, value)
    if origin is tuple:
        return tuple(_items(arguments, value))
    if is_section(kind):
        return _section_item(kind, value)
    raise AssertionError(f"no field can be of type {kind}")


def _section_item(kind: type, value: Any) -> Any:
    """A mapping of a list as the dataclass of its items."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping such as {{store: ...}}, not {_shown(value)}")
    hints, given = typing.get_type_hints(kind), {}
    known = [one.name for one in dataclasses.fields(kind)]
    for name, inner in value.items():
        if name not in known:
            raise ValueError(f"unknown key {name!r}{nearest(str(name), known)}")
        given[name] = convert(hints[name], inner)
    for one in dataclasses.fields(kind):
        if one.default is dataclasses.MISSING and one.name not in given:
            raise ValueError(f"an item needs {one.name}")
    return kind(**given)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, not {value!r}")
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(f"expected true or false, not {_shown(value)}")
    return word in _TRUE


def _whole(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value) and len(value) < 25:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"expected a whole number, not {_shown(value)}")
    if abs(value) > _LARGEST:
        raise ValueError(f"{value} is too large")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, not {_shown(value)}")
    return float(value)


_PLAIN_KINDS: Mapping[Any, Any] = {str: _text, bool: _flag, int: _whole, float: _number}


def _one_of(choices: Sequence[Any], value: Any) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{_shown(value)} is unknown; valid: {', '.join(map(repr, choices))}")
    return str(value)


def _items(kinds: Sequence[Any], value: Any) -> Iterator[Any]:
    """Items of a list; `kinds` is (kind, ...) for any number, or one kind for each."""
    items = parse_yaml(value) if isinstance(value, Plain) else value
    if not isinstance(items, list | tuple):
        raise ValueError(f"expected a list such as [a, b], not {_shown(value)}")
    if kinds[-1] is Ellipsis:
        kinds = [kinds[0]] * len(items)
    if len(items) != len(kinds):
        raise ValueError(f"expected {len(kinds)} items, not {len(items)}")
    return (convert(kind, item) for kind, item in zip(kinds, items, strict=True))


def _shown(value: Any) -> str:
    text = repr(str(value) if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
