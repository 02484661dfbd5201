"""Splits as data: which actors train, validate, test and judge. A split is a YAML file of this folder, or any path."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml

from conventions.errors import UserError, nearest

Role = Literal["train", "val", "test", "judge"]
ROLES: tuple[Role, ...] = get_args(Role)
SPLIT = "split.yaml"
"""File of a store that holds the roles which a manifest of clips names."""
REST = "rest"
"""A role with the value `rest` takes every actor whom no other role names."""


@dataclass(frozen=True)
class Split:
    """Actors by role; roles share no actor."""

    name: str
    actors: dict[Role, tuple[str, ...]]
    rest: Role | None
    """The role that takes all actors whom none names; None: they are not used."""

    @classmethod
    def load(cls, name: str) -> "Split":
        """A split of this folder by name (`eat`), or the file at a path that ends in .yaml."""
        folder = Path(__file__).parent
        path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
        if not path.is_file():
            raise UserError(f"split {name!r}: no such file or name{nearest(name, available())}")
        try:
            return _parsed(path.read_text(encoding="utf-8"), path)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: is not valid YAML ({str(error).splitlines()[0]})") from error

    @classmethod
    def from_dict(cls, value: object, path: Path) -> "Split":
        """A split from the content of a file, checked."""
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise UserError(f"{path}: a split needs a name and actors by role ({', '.join(ROLES)})")
        for key in value.keys() - {"name", *ROLES}:
            raise UserError(f"{path}: unknown key {key!r}{nearest(str(key), ROLES)}")
        rest: list[Role] = [role for role in ROLES if value.get(role) == REST]
        if len(rest) > 1:
            raise UserError(f"{path}: only one role can take the {REST}, not {' and '.join(rest)}")
        actors: dict[Role, tuple[str, ...]] = {
            role: _actors(value.get(role) or (), path, role) for role in ROLES if role not in rest
        }
        _check_disjoint(actors, path)
        return cls(value["name"], actors, rest[0] if rest else None)

    def role(self, actor: str) -> Role | None:
        """The role of an actor, or None where the split does not use them."""
        return self._roles.get(actor) or self.rest

    @functools.cached_property
    def _roles(self) -> "dict[str, Role]":
        return {name: role for role, names in self.actors.items() for name in names}


@functools.lru_cache(maxsize=16)
def _parsed(text: str, path: Path) -> Split:
    """A split file's content, which planning asks for at every stage of every run."""
    return Split.from_dict(yaml.safe_load(text), path)


def available() -> list[str]:
    """Names of the splits that come with the project."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def _actors(value: object, path: Path, role: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(actor, str) for actor in value):
        raise UserError(f"{path}: {role}: must be a list of actors or {REST!r}, not {value!r}")
    return tuple(value)


def _check_disjoint(actors: dict[Role, tuple[str, ...]], path: Path) -> None:
    seen: dict[str, str] = {}
    for role, names in actors.items():
        for actor in names:
            if actor in seen:
                raise UserError(f"{path}: actor {actor} is in {seen[actor]} and in {role}: roles share no actor")
            seen[actor] = role
