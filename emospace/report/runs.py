"""What the page shows of one run folder, read from its files alone."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ablations.found import lineage
from ablations.registry import compose_variant
from ablations.tables import Asked
from experiments.readback import experiment_of, is_first_identity
from experiments.rundir import RunFolder, list_runs, read_history

NOT_A_CURVE = {"step", "time", "seconds"}


@dataclass(frozen=True)
class RunView:
    """One run folder as the page needs it."""

    name: str
    title: str
    """Stage, variant, seed and fields given on the command line; empty for runs of the first identity."""
    stage: str
    experiment: str
    variant: str
    seed: str
    state: str
    reason: str
    config: dict[str, str]
    metrics: dict[str, float]
    history: dict[str, list[tuple[float, float]]]
    pictures: list[Path]
    videos: list[Path]
    fields: Mapping[str, str]


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys with printable values."""
    if not isinstance(value, dict):
        return {prefix: json.dumps(value, ensure_ascii=False)}
    merged: dict[str, str] = {}
    for key, inner in value.items():
        merged |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return merged


def curves_of(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Curves (step, value) by scalar name from a history file."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in read_history(path):
        for name, value in row.items():
            if name not in NOT_A_CURVE and isinstance(value, int | float):
                curves.setdefault(name, []).append((float(row["step"]), float(value)))
    return curves


def read_run(folder: RunFolder, state: str, reason: str | None) -> RunView:
    """Read one run folder whose state is known."""
    status = folder.status
    config_file = folder.path / "config.yaml"
    config = yaml.safe_load(config_file.read_text()) if config_file.is_file() else {}
    samples = sorted(folder.samples.rglob("*")) if folder.samples.is_dir() else []
    variant, seed = _labels(folder.id)
    return RunView(
        name=folder.id,
        title=status.get("title", ""),
        stage=status.get("stage", ""),
        experiment=status.get("experiment", ""),
        variant=status.get("variant", variant),
        seed=f"s{status['seed']}" if "seed" in status else seed,
        state=state,
        reason=reason or "",
        config=flatten(config),
        metrics=folder.read("metrics.json").get("metrics", {}),
        history=curves_of(folder.history),
        pictures=[path for path in samples if path.suffix in (".png", ".jpg")],
        videos=[path for path in samples if path.suffix == ".mp4"],
        fields=status.get("fields", {}),
    )


def _labels(name: str) -> tuple[str, str]:
    """Variant and seed in a run id; only ids of the first identity name a variant."""
    parts = name.split(".")
    seed = next((part for part in parts if part[:1] == "s" and part[1:].isdecimal()), "")
    return (parts[1] if is_first_identity(name) else "full"), seed


def read_runs(runs: Path, shown: Collection[str] | None = None) -> list[RunView]:
    """The run folders of a runs folder, by name; only those in `shown` where it is given."""
    found = [run for run in list_runs(runs) if shown is None or run.id in shown]
    return [read_run(RunFolder(runs / run.id), run.state, run.reason) for run in found]


def groups(runs: Sequence[RunView]) -> dict[str, str]:
    """Run -> what it shares with its other seeds: stage, variant and those fields in which runs of its stage differ."""
    result = {}
    for run in runs:
        same = [set(other.fields.items()) for other in runs if other.stage == run.stage]
        common = set.intersection(*same)
        own = [f"{key}={value}" for key, value in run.fields.items() if (key, value) not in common]
        result[run.name] = " ".join([run.stage, run.variant, *own])
    return result


def runs_of_preset(preset: str, tables: Sequence[Asked], runs: Path) -> set[str]:
    """Ids of the runs that the experiment made first, those of its tables whoever made them, and their ancestors."""
    name = compose_variant(preset).config.name
    labelled = [one.id for one in list_runs(runs) if (one.experiment or experiment_of(one.id)) == name]
    planned = [run.id for one in tables for by_seed in one.planned().values() for run in by_seed.values()]
    return with_ancestors([RunFolder(runs / run) for run in (*labelled, *planned)])


def with_ancestors(folders: Collection[RunFolder | None]) -> set[str]:
    """Ids of some runs and of all that they build on."""
    return {one.id for one in lineage(*(folder for folder in folders if folder is not None))}
