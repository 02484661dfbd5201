"""Scores as a Markdown table with all that a reader must know to compare it."""

import math
from collections.abc import Iterator

from ablations.formats import DIGITS
from emospace.scoring.score import CROP, SOURCE, Scores
from metrics.protocol import HIGHER_IS_BETTER, METRIC_NAMES, PROTOCOL

ARROWS = {True: " ↑", False: " ↓", None: ""}
TITLES = {"ground_truth": "ground truth", "copy_source": "copy source"}
SHOWN = 10
"""Adapted clips that are listed; metrics.json has them all."""


def markdown(scores: Scores) -> str:
    """The method and both references, then what is missing, what was adapted and what was not scored."""
    head = ["method", *(f"{metric}{ARROWS[HIGHER_IS_BETTER[metric]]}" for metric in METRIC_NAMES)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row, means in scores.means.items():
        cells = [_cell(scores, means, metric) for metric in METRIC_NAMES]
        lines.append(f"| {' | '.join([TITLES.get(row, scores.name.replace('|', '/')), *cells])} |")
    return "\n".join([*lines, "", "  \n".join(_notes(scores))])


def _cell(scores: Scores, means: dict[str, float], metric: str) -> str:
    if metric in scores.missing:
        return "missing"
    value = means[metric]
    return "-" if math.isnan(value) else f"{value:.{DIGITS.get(metric, 3)}f}"


def _notes(scores: Scores) -> Iterator[str]:
    method = scores.means["per_clip"]
    yield f"{PROTOCOL}: {method['clips']:.0f} clips, {method['frames']:.0f} frames; {CROP}; source: {SOURCE}."
    networks = ", ".join(f"{role}: {name}" for role, name in scores.facts["backbones"].items())
    yield f"Networks: {networks or 'none'}."
    remedies = dict.fromkeys(scores.missing.values())
    for line in remedies:
        metrics = ", ".join(metric for metric, why in scores.missing.items() if why == line)
        yield f"Missing {metrics}: {line}."
    yield from _gaps(scores)
    if scores.silent and "Sync" not in scores.missing:
        yield f"No sound in the true video nor beside it, so no Sync: {len(scores.silent)} clips."
    for clip, changes in list(scores.adapted.items())[:SHOWN]:
        yield f"Adapted {clip}: {'; '.join(changes)}."
    if len(scores.adapted) > SHOWN:
        yield f"Adapted: {len(scores.adapted) - SHOWN} more clips (--json or --out lists them)."
    for side, lone in (("generated", scores.pairs.lone_generated), ("true", scores.pairs.lone_truth)):
        if lone:
            yield f"Not scored: {len(lone)} {side} videos without a partner, such as {lone[0]}."


def _gaps(scores: Scores) -> Iterator[str]:
    """Values that some clips lack though the network is there, and frames without a face."""
    for row, means in scores.means.items():
        title = TITLES.get(row, scores.name)
        gaps = [name for name in METRIC_NAMES if f"{name}_missing" in means and name not in scores.missing]
        if gaps:
            counts = ", ".join(f"{name} in {means[f'{name}_missing']:.0f}" for name in gaps)
            yield f"{title}: no value for {counts} of {means['clips']:.0f} clips."
        if means["frames_without_face"]:
            yield f"{title}: no face found in {means['frames_without_face']:.0f} of {means['frames']:.0f} frames."
