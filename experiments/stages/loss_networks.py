"""The networks inside the losses of EAC and HEF: the run's own critics, or published ones, a role at a time."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.schema import ExperimentConfig
from experiments.stage import Parents
from experiments.stages.base import PROMPTS, data_of
from metrics.published import LOSS_ROLES, STAND_IN, Entry, check_networks, entries, load_loss_networks

SYNC = "sync"
"""The role of the lip-sync expert: the one that the critics do not take."""


def _entries(config: ExperimentConfig, roles: Sequence[str]) -> Mapping[str, Entry]:
    """The chosen network of each role that a loss with a weight needs."""
    return entries(_choice(config, roles), roles) if roles else {}


def _choice(config: ExperimentConfig, roles: Sequence[str]) -> dict[str, str]:
    choice = config.losses.networks.choice()
    return {role: choice[role] for role in roles}


def critics_parent(config: ExperimentConfig, roles: Sequence[str]) -> Parents:
    """The run's own critics as a parent, where one of the roles is theirs."""
    own = any(entry.stand_in for role, entry in _entries(config, roles).items() if role != SYNC)
    return {"critics": ("critics", config)} if own else {}


def lip_sync_parent(config: ExperimentConfig, stage: str, roles: Sequence[str]) -> Parents:
    """The lip-sync expert of a stage's data as a parent, where the loss has a weight and no published network."""
    if SYNC not in roles or not _entries(config, roles)[SYNC].stand_in:
        return {}
    return {"lip_sync": ("lip_sync", dataclasses.replace(config, data=data_of(config, stage)))}


def sync_expert(parents: Mapping[str, Any], published: Mapping[str, Any]) -> Any:
    """The network of the lip-sync loss; None where it has no weight."""
    own = parents.get("lip_sync")
    return published.get(SYNC) if own is None else own.expert


def loss_names(config: ExperimentConfig, roles: Sequence[str]) -> dict[str, str]:
    """What identity needs of the choice: the class of each role; files count by content (`loss_files`)."""
    found = _entries(config, roles)
    return {role: STAND_IN if entry.stand_in else entry.import_path for role, entry in found.items()}


def loss_files(config: ExperimentConfig, roles: Sequence[str]) -> dict[str, Path]:
    """The prompts, the face model where it is a file, and the published networks that are there, by config key.

    Absent networks are left to `check_loss_networks`.
    """
    face = {"face_model": Path(config.face_model)} if config.face_model else {}
    paths = {role: entry.path(None) for role, entry in _entries(config, roles).items() if not entry.stand_in}
    networks = {f"losses.networks.{role}": path for role, path in paths.items() if path is not None}
    return {"prompts.yaml": PROMPTS, **face, **networks}


def check_loss_networks(config: ExperimentConfig, roles: Sequence[str]) -> None:
    """UserError that names the first absent file."""
    if roles:
        check_networks(_choice(config, roles), roles=roles)


def load_losses(config: ExperimentConfig, roles: Sequence[str]) -> dict[str, Any]:
    """The published networks by role; a role of stand-ins is left out."""
    return load_loss_networks(dict.fromkeys(LOSS_ROLES, STAND_IN) | _choice(config, roles))
