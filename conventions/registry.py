"""Things by name: those that come with the project, and those of a user by import path or entry point."""

import functools
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from conventions.errors import UserError, nearest
from conventions.files import reason_of


@dataclass(frozen=True)
class Registry:
    """Names of one kind of thing, each with the import path `module:attribute` of what makes it.

    Nothing is imported before it is asked for. Beside the known names, `load` takes an import path, and the names that
    installed packages declare as entry points of the group `emospace.<group>`.
    """

    kind: str
    """What error lines call it, such as `face model`."""
    group: str
    known: Mapping[str, str]

    def names(self) -> list[str]:
        """Known names and those of entry points."""
        return sorted({*self.known, *(point.name for point in self._entry_points())})

    def __contains__(self, name: str) -> bool:
        return ":" in name or name in self.names()

    def path(self, name: str) -> str:
        """The import path behind a name; UserError with the nearest name where there is none."""
        if name in self.known:
            return self.known[name]
        if ":" in name:
            return name
        for point in self._entry_points():
            if point.name == name:
                return point.value
        raise UserError(f"{self.kind} {name!r} is unknown{nearest(name, self.names())}; or give module:attribute")

    def load(self, name: str) -> Any:
        """What the name stands for; UserError where its module or attribute cannot be imported."""
        module, _, attribute = self.path(name).partition(":")
        try:
            return getattr(_import(module), attribute)
        except Exception as error:  # a module of the user's may fail in any way
            reason = f"{type(error).__name__}: {reason_of(error)}"
            raise UserError(f"{self.kind} {name!r}: cannot be imported ({reason})") from error

    def _entry_points(self) -> Any:
        return _entry_points(f"emospace.{self.group}", tuple(sys.path))


@functools.lru_cache
def _entry_points(group: str, path: tuple[str, ...]) -> Any:
    """Entry points of a group, read once for an import path: looking through all packages takes 14 ms."""
    return entry_points(group=group)


def _import(module: str) -> ModuleType:
    """A module by name; one of the user's may lie in the working directory, which comes last on the import path."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] or os.getcwd() in sys.path:
            raise
    sys.path.append(os.getcwd())
    return importlib.import_module(module)
