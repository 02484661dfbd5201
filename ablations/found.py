"""The finished runs behind a table: the planned ones, or, where none of them is done, those of the first identity.

No network behind numbers that are shown holds NaN or infinity.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablations.registry import compose_variant
from ablations.statistics import BySeed
from conventions.errors import UserError
from experiments.graph import Experiment, plan
from experiments.readback import find_first_identity
from experiments.run_content import read_columns
from experiments.rundir import Inspection, RunFolder
from experiments.stage import StageRun

Planned = Mapping[str, Mapping[int, StageRun]]
"""The evaluation run of each variant and seed."""


@dataclass(frozen=True)
class Found:
    """The finished runs of one variant, by seed, and the others with their states."""

    done: Mapping[int, RunFolder]
    documents: Mapping[int, Mapping[str, Any]]
    """metrics.json by seed."""
    missing: tuple[str, ...]
    clips: Mapping[str, BySeed]
    """Values by metric, seed and clip."""
    actors: Mapping[str, str]
    """Actor of each clip."""


def plan_runs(
    variants: Sequence[str], preset: str, seeds: Sequence[int], overrides: Sequence[str] = ()
) -> dict[str, dict[int, StageRun]]:
    """The evaluation run of each variant and seed; nothing is planned while the store is not there."""
    planned: dict[str, dict[int, StageRun]] = {variant: {} for variant in variants}
    for seed in seeds:
        for variant, by_seed in planned.items():
            if (run := _target(compose_variant(preset, variant, seed, overrides))) is not None:
                by_seed[seed] = run
    return planned


def _target(experiment: Experiment) -> StageRun | None:
    try:
        return plan(experiment)[-1]
    except UserError:  # no store, or no weights: nothing can be finished
        return None


def find_runs(planned: Planned, runs: Path, metrics: Sequence[str]) -> dict[str, Found]:
    """What is finished of the planned runs."""
    return {
        variant: read_folders({seed: run.folder(runs) for seed, run in by_seed.items()}, metrics)
        for variant, by_seed in planned.items()
    }


def find_old_runs(
    variants: Sequence[str],
    preset: str,
    seeds: Sequence[int],
    overrides: Sequence[str],
    runs: Path,
    metrics: Sequence[str],
) -> dict[str, Found]:
    """Finished runs of the first identity, by their labels and the values of the overridden keys."""
    result = {}
    for variant in variants:
        experiments = {seed: compose_variant(preset, variant, seed, overrides) for seed in seeds}
        folders = {seed: find_first_identity(runs, experiment, seed) for seed, experiment in experiments.items()}
        result[variant] = read_folders({seed: one for seed, one in folders.items() if one is not None}, metrics)
    return result


def read_folders(folders: Mapping[int, RunFolder], metrics: Sequence[str]) -> Found:
    """The values of the finished ones among some run folders by seed."""
    inspected = {seed: folder.inspect() for seed, folder in folders.items()}
    flaws = {seed: _flaw(folders[seed], one) for seed, one in inspected.items()}
    done = {seed: folders[seed] for seed, flaw in flaws.items() if flaw is None}
    missing = tuple(f"{folders[seed].id}: {flaw}" for seed, flaw in flaws.items() if flaw is not None)
    read = {seed: clip_values(folder, metrics) for seed, folder in done.items()}
    clips = {metric: {seed: values[metric] for seed, (_, values) in read.items()} for metric in metrics}
    actors = {clip: actor for people, _ in read.values() for clip, actor in people.items()}
    return Found(done, {seed: inspected[seed].metrics for seed in done}, missing, clips, actors)


def _flaw(folder: RunFolder, found: Inspection) -> str | None:
    """Why a run has no place in a table; None where it has."""
    if found.state != "done":
        return f"{found.state}{f' ({found.flaw})' if found.flaw else ''}"
    if skipped := found.metrics.get("skipped"):
        return f"not scored ({skipped})"
    return f"damaged ({flaw})" if (flaw := unusable(folder)) else None


def clip_values(folder: RunFolder, metrics: Sequence[str]) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Actor of each clip, and metric -> clip -> value, from a run's per_clip.csv; NaN where a cell is empty."""
    clips, actors, *columns = read_columns(folder.path / "per_clip.csv", ["id", "actor", *metrics])
    values = [[float(cell or "nan") for cell in column] for column in columns]
    by_metric = {m: dict(zip(clips, column, strict=True)) for m, column in zip(metrics, values, strict=True)}
    return dict(zip(clips, actors, strict=True)), by_metric


def unusable(folder: RunFolder) -> str | None:
    """Why a finished run must not be shown; None where its networks and its ancestors', if still there, are finite."""
    for one in lineage(folder):
        weights = one.checkpoints / "final.pt"
        try:
            found = weights.stat()
        except OSError:
            continue
        if flaw := _weight_flaw(weights, (found.st_mtime_ns, found.st_size)):
            return f"{one.id}: {flaw}"
    return None


def lineage(*folders: RunFolder) -> Iterator[RunFolder]:
    """Some runs and all that they build on, by the runs' own provenance, each once."""
    seen, waiting = set[Path](), list(folders)
    while waiting:
        one = waiting.pop()
        if one.path not in seen:
            seen.add(one.path)
            yield one
            parents = one.read("provenance.json").get("parents", {})
            waiting += [RunFolder(one.path.parent / name) for name in parents.values()]


@functools.lru_cache(maxsize=1024)
def _weight_flaw(weights: Path, version: tuple[int, int]) -> str | None:
    """What is wrong with a file of weights; `version` changes with the content."""
    import torch

    from lightning_modules.training.checkpoints import read_checkpoint

    try:
        state = read_checkpoint(weights).get("state_dict", {})
    except UserError as error:
        return str(error)
    for name, value in state.items():
        if torch.is_tensor(value) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return f"weight {name!r} is not finite; the run diverged"
    return None
