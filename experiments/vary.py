"""Further differences to a typed config that stands already: only the changed fields are converted."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from experiments.compose import deep_merge, field_types, is_section
from experiments.values import convert

T = TypeVar("T")


def vary(config: T, *changes: Mapping[str, Any]) -> T | None:
    """`config` with nested `changes`, the last one winning; None when something in them is wrong."""
    try:
        return _varied(config, functools.reduce(deep_merge, changes, {}))
    except (KeyError, TypeError, ValueError):
        return None


def _varied(config: Any, changes: Mapping[str, Any]) -> Any:
    """The section with its changes; its own checks (`__post_init__`) see all of them at once."""
    kinds = field_types(type(config))
    values = {
        name: _varied(getattr(config, name), {**new}) if is_section(kinds[name]) else convert(kinds[name], new)
        for name, new in changes.items()
    }
    return dataclasses.replace(config, **values)
