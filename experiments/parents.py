"""A child refuses a parent that was trained on another split or another store, whatever its folder is called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import sha256_of
from experiments.compose import load_yaml
from experiments.graph import STAGES, StageRun

REMEDY = "move its folder away, and it is made anew"


def check_parents(run: StageRun, runs: Path, store: str) -> None:
    """UserError when a finished parent's own files tell of another configuration, store hash or split."""
    for role, parent in run.parents.items():
        folder = parent.folder(runs)
        place = f"run {run.id}: its {role} in {folder.path}"
        if folder.status.get("hash") != parent.hash:
            raise UserError(f"{place} is of another configuration; {REMEDY}")
        if not STAGES[parent.stage].uses_store:
            continue
        trained_on = folder.read("provenance.json").get("store", {}).get("hash")
        if trained_on != store:
            raise UserError(
                f"{place} was made on the store {_short(trained_on)}, this one is {_short(store)}; {REMEDY}"
            )
        split = load_yaml(folder.path / "config.yaml").get("data", {}).get("split")
        if split != run.config.data.split:
            raise UserError(f"{place} was made on the split {split}, not {run.config.data.split}; {REMEDY}")


def weights_of_parents(run: StageRun, runs: Path) -> Mapping[str, Any]:
    """SHA-256 of each parent's final weights by role; parents without weights are left out."""
    files = {role: parent.folder(runs).checkpoints / "final.pt" for role, parent in run.parents.items()}
    return {role: sha256_of(path) for role, path in files.items() if path.exists()}


def _short(value: Any) -> str:
    return str(value)[:12]
