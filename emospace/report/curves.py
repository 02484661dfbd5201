"""Curves as the page's script draws them: thinned, rounded, by run and scalar; behind them a preset's reference run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from emospace.report.runs import RunView
from experiments.reference_curves import reference_curves, thin

MAX_POINTS = 160
DIGITS = 5

Curve = Sequence[tuple[float, float]]


def points(history: Mapping[str, Curve]) -> dict[str, list[tuple[float, float]]]:
    """(step, value) by scalar, thinned, without what is not finite; scalars of which nothing is left are left out."""
    finite = {name: [point for point in curve if math.isfinite(point[1])] for name, curve in history.items()}
    return {name: thin(curve, MAX_POINTS, DIGITS) for name, curve in finite.items() if curve}


def references(runs: Sequence[RunView]) -> dict[str, dict[str, Any]]:
    """Stage -> name and curves of the reference run of the first experiment that has one for this stage."""
    found: dict[str, dict[str, Any]] = {}
    for experiment in dict.fromkeys(run.experiment for run in runs):
        stages = {run.stage for run in runs if run.experiment == experiment}
        for stage, run in reference_curves(experiment).items():
            if stage in stages and stage not in found:
                memory = f"{run.memory_bytes / 2**30:.1f} GiB"
                name = f"reference: {experiment}, seed {run.seed}, {run.seconds:.0f} s, {memory}"
                found[stage] = {"name": name, "curves": run.curves}
    return found
