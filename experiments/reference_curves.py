"""Reference curves of the presets, with time and memory, so that anyone sees whether a run is healthy.

`python -m experiments.reference_curves RUNS --preset toy` takes them from the finished runs of a folder and keeps them
in `reference_curves.json` beside this file.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from conventions.errors import EXIT_USAGE
from conventions.files import write_text
from experiments.graph import FULL, STAGES
from experiments.rundir import RunFolder, list_runs, read_history

FILE = Path(__file__).with_name("reference_curves.json")

MOST_POINTS = 24
"""Points of a curve: each is the mean of its neighbours in the run's history."""

DIGITS = 4
"""Significant digits of a value."""

Step = TypeVar("Step", int, float)
Curve = Sequence[tuple[int, float]]
"""(trained batches, value)."""


@dataclass(frozen=True)
class ReferenceRun:
    """What one stage of a preset looked like."""

    seed: int
    fields: Mapping[str, str]
    """Config keys that were given on the command line."""
    seconds: float
    """Wall time of training and test."""
    memory_bytes: int
    """Peak memory of the process, which may have run earlier stages too."""
    machine: Mapping[str, Any]
    """Cores, threads and GPUs."""
    started: str
    curves: Mapping[str, Curve]
    """`train/...` and `val/...` by name."""


def reference_curves(preset: str, file: Path | None = None) -> dict[str, ReferenceRun]:
    """The reference runs of a preset by stage; empty for one that has none."""
    return {stage: _read(run) for stage, run in _load(file or FILE).get(preset, {}).items()}


def collect(runs: Path, preset: str) -> dict[str, ReferenceRun]:
    """The finished runs of a preset's full model by stage: those with the fewest own fields, then the lowest seed."""
    done = [run for run in list_runs(runs) if run.state == "done" and run.experiment == preset]
    folders = [RunFolder(runs / run.id) for run in done]
    full = [folder for folder in folders if folder.status.get("variant") == FULL]
    full.sort(key=lambda folder: (len(folder.status.get("fields", {})), folder.status.get("seed", 0), folder.id))
    first = {folder.status["stage"]: folder for folder in reversed(full)}
    return {stage: _reference(first[stage]) for stage in STAGES if stage in first}


def thin(curve: Sequence[tuple[Step, float]], most: int, digits: int) -> list[tuple[Step, float]]:
    """At most so many points of so many digits: means of neighbours, each at the step of its last."""
    size = -(-len(curve) // most)
    groups = [curve[first : first + size] for first in range(0, len(curve), size or 1)]
    means = [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
    return [(step, float(f"{value:.{digits}g}")) for step, value in means]


def _reference(folder: RunFolder) -> ReferenceRun:
    status, origin = folder.status, folder.read("provenance.json")
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in read_history(folder.history):
        for name, value in row.items():
            if name.startswith(("train/", "val/")) and not name.startswith("train/lr") and value is not None:
                curves.setdefault(name, []).append((int(row["step"]), float(value)))
    machine = origin.get("machine", {})
    return ReferenceRun(
        seed=int(status.get("seed", 0)),
        fields=dict(status.get("fields", {})),
        seconds=round(float(status.get("seconds") or 0.0), 1),
        memory_bytes=int(status.get("peak_memory_bytes", 0)),
        machine={name: machine[name] for name in ("cpus", "threads", "gpus") if name in machine},
        started=str(origin.get("started", "")),
        curves={name: thin(curve, MOST_POINTS, DIGITS) for name, curve in sorted(curves.items())},
    )


def _read(run: Mapping[str, Any]) -> ReferenceRun:
    curves = {name: [(step, value) for step, value in curve] for name, curve in run["curves"].items()}
    return ReferenceRun(**{**run, "curves": curves})


def _load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def keep(preset: str, found: Mapping[str, ReferenceRun], file: Path) -> None:
    """Write the runs of a preset; those of stages and presets that were not found stay."""
    known = _load(file)
    known[preset] = {**known.get(preset, {}), **{stage: dataclasses.asdict(run) for stage, run in found.items()}}
    presets = []
    for name, stages in sorted(known.items()):  # a line for each stage: a change of one is a change of one line
        lines = [f'"{stage}": {json.dumps(run, separators=(",", ":"))}' for stage, run in stages.items()]
        presets.append(f'"{name}": {{\n' + ",\n".join(lines) + "\n}")
    write_text(file, "{\n" + ",\n".join(presets) + "\n}\n")


def main(words: Sequence[str]) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.reference_curves", description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of run folders")
    parser.add_argument("--preset", required=True, help="experiment whose runs they are: a preset or a YAML file")
    given = parser.parse_args(words)
    preset = Path(given.preset).stem if given.preset.endswith((".yaml", ".yml")) else given.preset
    found = collect(given.runs, preset)
    if not found:
        sys.stderr.write(f"{given.runs}: has no finished run of the full model of {preset!r}\n")
        return EXIT_USAGE
    keep(preset, found, FILE)
    sys.stdout.write(f"{FILE}: {preset}: {', '.join(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
