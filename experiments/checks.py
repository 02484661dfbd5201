"""What is checked before a run: the whole plan against its data and the files that it names, and finished parents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import sha256_of
from datamodules.config import HUGGING_FACE
from datamodules.manifest import store_hash
from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import TrainedStage, data_of, open_store
from experiments.training import source_file

REMEDY = "move the folder away to train it again"


def check_parts(config: ExperimentConfig) -> None:
    """UserError for a class or function that the config names by import path and that cannot be imported.

    It needs no data: a toy world is not written, nor a parent trained, for a part with a wrong name.
    """
    from lightning_modules.ame.config import TEXT_SOURCES
    from lightning_modules.eac.config import BACKBONES
    from lightning_modules.training.configs import load_losses

    encoding = config.ame.text.encoding
    if ":" in encoding and not encoding.startswith(HUGGING_FACE):
        TEXT_SOURCES.load(encoding)
    if ":" in config.eac.backbone.kind:
        BACKBONES.load(config.eac.backbone.kind)
    for losses in (config.eac.extra_losses, config.hef.extra_losses):
        load_losses(losses)


def check_plan(planned: Sequence[StageRun], runs: Path) -> None:
    """UserError for the first run, not done yet, whose configuration and data cannot give a result."""
    for run in planned:
        if run.folder(runs).state() != "done":
            check_parts(run.config)
            run.spec.check(run.config)
            if isinstance(run.spec, TrainedStage) and (start := run.spec.start(run.config)):
                source_file(start, runs)
    check_face_models(planned)


def check_face_models(planned: Sequence[StageRun]) -> None:
    """The coefficients that cross from EAC to HEF are of one face model, whatever stores the two have."""
    stages = {run.stage: run for run in planned}
    if {"eac", "hef"} <= stages.keys():
        names = {name: open_store(data_of(stages[name].config, name)).coefficient_model for name in ("eac", "hef")}
        if names["eac"] != names["hef"]:
            raise UserError(
                f"hef.data.store: has coefficients of {names['hef']}, EAC's store has those of {names['eac']}; "
                "both need one face model"
            )


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
                    f"{place} was trained on the store {str(trained_on)[:12]}, not on {wanted[:12]}; {REMEDY}"
                )


def weights_of_parents(run: StageRun, runs: Path) -> Mapping[str, Any]:
    """SHA-256 of each parent's final weights by role; parents without weights are left out."""
    files = {role: parent.folder(runs).checkpoints / "final.pt" for role, parent in run.parents.items()}
    return {role: sha256_of(path) for role, path in files.items() if path.exists()}
