"""Further differences to a typed config that stands already: OmegaConf sees the changed fields alone.

A sweep of thousands of runs differs in a few fields of one experiment. `vary` gives what `compose.merge` gives from all
sources at a hundredth of its time, or None where only `merge` can do it, or say what is wrong.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.compose import deep_merge, field_types, is_section, tupled

T = TypeVar("T")


def vary(config: T, *changes: Mapping[str, Any]) -> T | None:
    """`config` with nested `changes`, the last one winning; None when something in them is wrong or a `${...}`."""
    try:
        return _varied(config, functools.reduce(deep_merge, changes, {}))
    except (OmegaConfBaseException, KeyError, TypeError, ValueError):
        return None


def _varied(config: Any, changes: Mapping[str, Any]) -> Any:
    """The section with its changes; its own checks (`__post_init__`) see all of them at once."""
    kind = type(config)
    return dataclasses.replace(config, **{name: _value(kind, config, name, new) for name, new in changes.items()})


def _value(kind: type, config: Any, name: str, new: Any) -> Any:
    if is_section(field_types(kind)[name]):
        return _varied(getattr(config, name), {**new})
    return _scalar(kind, name, new) if isinstance(new, bool | int | float | str) else _converted(kind, name, new)


@functools.lru_cache(maxsize=4096, typed=True)
def _scalar(kind: type, name: str, new: Any) -> Any:
    return _converted(kind, name, new)


def _converted(kind: type, name: str, new: Any) -> Any:
    """A field's new value as OmegaConf converts it to the field's type."""
    merged = OmegaConf.merge(_alone(kind, name), {name: new})
    if OmegaConf.is_interpolation(merged, name) or OmegaConf.is_missing(merged, name):
        raise ValueError(f"{name}: {new} stands for another value")
    return tupled(OmegaConf.to_container(merged)[name])  # type: ignore[index]


@functools.cache
def _alone(kind: type, name: str) -> Any:
    """A structured config of this one field."""
    [own] = [field for field in dataclasses.fields(kind) if field.name == name]
    default = dataclasses.field(default=own.default, default_factory=own.default_factory)
    return OmegaConf.structured(dataclasses.make_dataclass(kind.__name__, [(name, field_types(kind)[name], default)]))
