"""What is checked before anything trains: the whole plan against its data and the files that it names."""

from collections.abc import Sequence
from pathlib import Path

from conventions.errors import UserError
from experiments.stage import StageRun
from experiments.stages.base import TrainedStage, data_of, open_store
from experiments.start import source_file


def check_plan(planned: Sequence[StageRun], runs: Path) -> None:
    """UserError for the first run, not done yet, whose configuration and data cannot give a result."""
    for run in planned:
        if run.folder(runs).state() != "done":
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
