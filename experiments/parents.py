"""Checks that a finished parent's folder belongs to its run id and store; records the SHA-256 of its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import sha256_of
from datamodules.manifest import store_hash
from experiments.stage import StageRun

REMEDY = "move the folder away to train it again"


def check_parents(run: StageRun, runs: Path) -> None:
    """UserError when a finished parent's own files name another configuration or another store."""
    for role, parent in run.parents.items():
        folder = parent.folder(runs)
        place = f"run {run.id}: its parent {role} in {folder.path}"
        if folder.status.get("hash") != parent.hash:
            raise UserError(f"{place} has another configuration; {REMEDY}")
        if store := parent.spec.store(parent.config):
            wanted, trained_on = store_hash(store), folder.read("provenance.json").get("store", {}).get("hash")
            if trained_on != wanted:
                raise UserError(
                    f"{place} was trained on the store {_short(trained_on)}, not on {_short(wanted)}; {REMEDY}"
                )


def weights_of_parents(run: StageRun, runs: Path) -> Mapping[str, Any]:
    """SHA-256 of each parent's final weights by role; parents without weights are left out."""
    files = {role: parent.folder(runs).checkpoints / "final.pt" for role, parent in run.parents.items()}
    return {role: sha256_of(path) for role, path in files.items() if path.exists()}


def _short(value: Any) -> str:
    return str(value)[:12]
