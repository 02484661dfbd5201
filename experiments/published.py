"""What a dashboard shows of a run folder: its labels, config, curves, metrics, samples and the table of clips."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.identity import canonical
from experiments.rundir import HistoryRow, RunFolder
from experiments.stage import StageRun
from experiments.sweep import last_values

NOT_SCALARS = {"step", "time"}


def group_of(run: StageRun, folder: RunFolder) -> str:
    """The sweep that made the run; outside of sweeps the experiment."""
    return folder.status.get("sweep") or run.config.name


def parents_of(folder: RunFolder) -> dict[str, str]:
    """Role -> run id."""
    return folder.read("provenance.json").get("parents", {})


def facts_of(run: StageRun, folder: RunFolder) -> dict[str, Any]:
    """The run's config: identity, origin, and every field that changes numbers."""
    origin = folder.read("provenance.json")
    identity = {"hash": run.hash, "stage": run.stage, "variant": run.variant, "parents": parents_of(folder)}
    known = {name: origin[name] for name in ("git", "packages", "machine", "store") if name in origin}
    return {**identity, "origin": known, **canonical(run.config), "seed": run.seed}


def scalars_of(row: HistoryRow) -> dict[str, float]:
    """The values of one row of history.jsonl."""
    return {name: value for name, value in row.items() if name not in NOT_SCALARS and value is not None}


def tested(folder: RunFolder) -> dict[str, float]:
    """Each value of metrics.json as `test/NAME`."""
    return {f"test/{name}": value for name, value in folder.read("metrics.json").get("metrics", {}).items()}


def summary_of(folder: RunFolder) -> dict[str, float]:
    """The last value of each `val/...`, and `tested`."""
    return {**last_values(folder, "val"), **tested(folder)}


def samples_of(folder: RunFolder) -> tuple[Mapping[str, Path], Mapping[str, Path]]:
    """Videos as `samples/CLIP` and image strips as `samples/CLIP_strip`."""
    videos = {f"samples/{path.stem}": path for path in sorted(folder.samples.glob("*.mp4"))}
    return videos, {f"samples/{path.stem}_strip": path for path in sorted(folder.samples.glob("*.png"))}


def clip_table(folder: RunFolder) -> tuple[list[str], list[list[float | str | None]]] | None:
    """Columns and rows of per_clip.csv; None where there is none."""
    path = folder.path / "per_clip.csv"
    if not path.exists():
        return None
    with path.open(newline="") as file:
        columns, *rows = list(csv.reader(file))
    return columns, [[_number(cell) for cell in row] for row in rows]


def _number(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
