"""Which runs a report shows: those of an experiment, those of sweeps, with all that they build on."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ablations.finite import lineage
from ablations.registry import compose_variant
from ablations.tables import Asked
from experiments.legacy import experiment_of
from experiments.rundir import RunFolder, list_runs


def runs_of_preset(preset: str, tables: Sequence[Asked], runs: Path) -> set[str]:
    """Ids of the runs that the experiment made first, those of its tables whoever made them, and their ancestors."""
    name = compose_variant(preset).config.name
    labelled = [one.id for one in list_runs(runs) if (one.experiment or experiment_of(one.id)) == name]
    planned = [run.id for one in tables for by_seed in one.planned().values() for run in by_seed.values()]
    return with_ancestors([RunFolder(runs / run) for run in (*labelled, *planned)])


def with_ancestors(folders: Collection[RunFolder | None]) -> set[str]:
    """Ids of some runs and of all that they build on."""
    return {one.id for one in lineage(*(folder for folder in folders if folder is not None))}
