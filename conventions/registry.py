"""Things by name: those that come with the project, and those of a user by import path or entry point."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from conventions.errors import UserError, nearest


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
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name!r}: cannot be imported ({error})") from error

    def _entry_points(self) -> Any:
        return entry_points(group=f"emospace.{self.group}")
