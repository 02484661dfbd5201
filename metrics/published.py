"""Networks by name: for each role a registry of published networks, found by file, and what a choice of them means.

A choice is `published` (the default of each role), `standin` (the small networks that a run trains for itself), or a
mapping role -> value; a role that the mapping leaves out is `published` and may be absent. A value is a name of the
role's registry, `standin`, the path of a file for the role's default network, or an import path `module:attribute` of a
class that takes the path of its file (`file`, a `WeightFile`, names it).
"""

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conventions.errors import MissingPackage, UserError, nearest
from conventions.files import sha256_of
from conventions.registry import Registry
from conventions.weights import WeightFile
from metrics.protocol import OPTIONAL, USES

Choice = str | Mapping[str, str]

STAND_IN = "standin"
PUBLISHED = "published"

_BACKBONES = "metrics.backbones"
_KNOWN: dict[str, dict[str, str]] = {
    "landmarks": {"mediapipe": f"{_BACKBONES}.mediapipe:MediaPipeLandmarks"},
    "identity": {"sface": f"{_BACKBONES}.sface:SFace", "arcface": f"{_BACKBONES}.sface:ArcFace"},
    "emotion": {
        "hsemotion": f"{_BACKBONES}.hsemotion:HSEmotion",
        "hsemotion_b2": f"{_BACKBONES}.hsemotion:HSEmotionB2",
    },
    "sync": {"syncnet": f"{_BACKBONES}.syncnet:SyncNet"},
    "fid": {"inception": f"{_BACKBONES}.inception:FIDInception"},
    "lpips": {"alexnet": f"{_BACKBONES}.lpips:AlexLPIPS"},
    "fvd": {"videomae": f"{_BACKBONES}.videomae:VideoMAE"},
    "expression": {"deep3d": "datamodules.deep3d:Deep3DExpression"},
    "perceptual": {"vgg16": f"{_BACKBONES}.vgg:VGGFeatures"},
}
NETWORKS = {role: Registry(f"{role} network", f"networks.{role}", known) for role, known in _KNOWN.items()}
"""The registry of each role; its first name is the default."""

METRIC_ROLES = tuple(USES)
LOSS_ROLES = ("identity", "emotion", "perceptual", "sync")
"""Roles in losses: torch modules with gradients to the images."""


@dataclass(frozen=True)
class Entry:
    """The chosen network of a role, not yet loaded."""

    role: str
    value: str

    @property
    def stand_in(self) -> bool:
        """Whether a run's own small network takes the role."""
        return self.value == STAND_IN

    @property
    def _is_path(self) -> bool:
        named = self.value in NETWORKS[self.role].names() or ":" in self.value
        return not named and (Path(self.value).suffix != "" or "/" in self.value)

    @property
    def import_path(self) -> str:
        """Where the network's class lies."""
        default = next(iter(NETWORKS[self.role].known))
        return NETWORKS[self.role].path(default if self._is_path else self.value)

    def make(self) -> Any:
        """The network's class, or what else makes it from a path."""
        registry = NETWORKS[self.role]
        return registry.load(next(iter(registry.known)) if self._is_path else self.value)

    def path(self, weights: Path | None) -> Path | None:
        """The network's file, or None where it is absent."""
        if self._is_path:
            return Path(self.value) if Path(self.value).exists() else None
        file: WeightFile | None = getattr(self.make(), "file", None)
        return None if file is None else file.found(weights)

    @property
    def needs_file(self) -> bool:
        """Whether the network comes from a file; one of a user's own may not."""
        return self._is_path or getattr(self.make(), "file", None) is not None

    def remedy(self, weights: Path | None) -> str | None:
        """None where the network can be loaded; otherwise one line that names what is missing."""
        make = self.make()
        package, extra = getattr(make, "package", (None, None))
        if package is not None and importlib.util.find_spec(package) is None:
            return str(MissingPackage(package, str(extra), f"The {self.role} network {self.value}"))
        if not self.needs_file or self.path(weights) is not None:
            return None
        if self._is_path:
            return f"{self.value}: no such file (network in the role {self.role})"
        return make.file.absence(weights)

    def key(self, weights: Path | None) -> str:
        """What two roles must not share: the file, else the class."""
        path = self.path(weights)
        return self.import_path if path is None else str(path.resolve())


def entries(choice: Choice, roles: Iterable[str] = METRIC_ROLES) -> dict[str, Entry]:
    """The entry of each role; UserError for a role, name or import path that is unknown."""
    roles = tuple(roles)
    if isinstance(choice, str):
        if choice not in (PUBLISHED, STAND_IN):
            raise UserError(
                f"networks: {choice!r} is not a choice{nearest(choice, (PUBLISHED, STAND_IN))}, or a mapping of roles"
            )
        choice = dict.fromkeys(roles, choice)
    for role in choice:
        if role not in roles:
            raise UserError(f"networks: role {role!r} is unknown{nearest(role, roles)}")
    found = {}
    for role in roles:
        value = choice.get(role, PUBLISHED)
        entry = Entry(role, next(iter(NETWORKS[role].known)) if value == PUBLISHED else value)
        if not entry.stand_in:
            entry.import_path  # noqa: B018 - an unknown name is an error here, before anything is loaded
        found[role] = entry
    return found


def _optional(role: str, choice: Choice) -> bool:
    """Whether the role may stay empty: one that a mapping leaves out, or an extra metric without a network by name."""
    if isinstance(choice, str):
        return role in OPTIONAL
    return role not in choice or (role in OPTIONAL and choice[role] == PUBLISHED)


def needs_judges(choice: Choice, roles: Iterable[str] = METRIC_ROLES) -> bool:
    """Whether a run must train its own small networks for this choice."""
    return any(entry.stand_in for entry in entries(choice, roles).values())


def missing_networks(
    choice: Choice, weights: Path | None = None, roles: Iterable[str] = METRIC_ROLES
) -> dict[str, str]:
    """For each role whose network is absent, one line with the remedy."""
    found = {role: entry for role, entry in entries(choice, roles).items() if not entry.stand_in}
    remedies = {role: entry.remedy(weights) for role, entry in found.items()}
    return {role: line for role, line in remedies.items() if line is not None}


def check_networks(
    choice: Choice, weights: Path | None = None, roles: Iterable[str] = METRIC_ROLES, in_run: bool = True
) -> None:
    """UserError that names the first absent file, before anything trains; cheap. `in_run`: stand-ins can be trained."""
    for role, line in missing_networks(choice, weights, roles).items():
        if not _optional(role, choice):
            raise UserError(f"{role} network is missing: {line}{f'; or use --networks {STAND_IN}' if in_run else ''}")


def digests(choice: Choice, weights: Path | None = None, roles: Iterable[str] = METRIC_ROLES) -> dict[str, str]:
    """SHA-256 of the file in each role that has one; nothing is loaded."""
    paths = {r: entry.path(weights) for r, entry in entries(choice, roles).items() if not entry.stand_in}
    return {role: sha256_of(path) for role, path in paths.items() if path is not None and path.is_file()}


def refuse_shared(losses: Choice, metrics: Choice, weights: Path | None = None) -> None:
    """UserError where a loss and a metric use one network: training would optimise what is measured."""
    scored = {e.key(weights): e for e in entries(metrics).values() if not e.stand_in}
    for entry in entries(losses, LOSS_ROLES).values():
        if not entry.stand_in and (other := scored.get(entry.key(weights))) is not None:
            names = ", ".join([*NETWORKS[entry.role].names(), STAND_IN])
            raise UserError(
                f"losses.networks: {entry.role}: {entry.value} is also the metric's {other.role} network; "
                f"give one of them another ({names})"
            )


def load_loss_networks(choice: Choice, weights: Path | None = None, device: Any = "cpu") -> dict[str, Any]:
    """The published networks in losses, by role; a role of stand-ins is left out (the run's critics take it)."""
    check_networks(choice, weights, LOSS_ROLES)
    chosen = {role: entry for role, entry in entries(choice, LOSS_ROLES).items() if not entry.stand_in}
    return {role: load_entry(entry, weights, device) for role, entry in chosen.items()}


def load_entry(entry: Entry, weights: Path | None = None, device: Any = "cpu") -> Any:
    """The network of an entry, on the device; UserError where its file is not the published one."""
    path = entry.path(weights)
    network = entry.make()(path) if path is not None else entry.make()()
    if hasattr(network, "to"):
        network.to(device)
    if hasattr(network, "eval"):
        network.eval()
    return network
