"""Scores as a Markdown table with all that a reader must know to compare it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ablations.formats import DIGITS
from conventions.errors import UserError, counted
from emospace.scoring.score import CROPS, SOURCE, Scores
from metrics.protocol import HIGHER_IS_BETTER, METRIC_NAMES, SET_METRICS

ARROWS = {True: " ↑", False: " ↓", None: ""}
TITLES = {"ground_truth": "ground truth", "copy_source": "copy source"}
SHOWN = 10
"""Clips that a note lists; metrics.json has them all."""


def markdown(scores: Scores, by: str | None = None) -> str:
    """The method and both references, the breakdown `by` a label, then what is missing, adapted and not scored."""
    head = ["method", *(f"{metric}{ARROWS[HIGHER_IS_BETTER[metric]]}" for metric in METRIC_NAMES)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row, means in scores.means.items():
        cells = [_cell(scores, means, metric) for metric in METRIC_NAMES]
        lines.append(f"| {' | '.join([TITLES.get(row, scores.name.replace('|', '/')), *cells])} |")
    if by is not None:
        lines += ["", *_breakdown(scores, by)]
    return "\n".join([*lines, "", "  \n".join(_notes(scores))])


def _breakdown(scores: Scores, by: str) -> Iterator[str]:
    groups = by_label(scores.rows["per_clip"], by)
    shown = [
        name for name in METRIC_NAMES if any(math.isfinite(group.get(name, math.nan)) for group in groups.values())
    ]
    yield f"| {' | '.join([by, 'clips', *shown])} |"
    yield f"|{' --- |' * (len(shown) + 2)}"
    for group, means in groups.items():
        cells = [group, str(int(means["clips"])), *(_number(means, name) for name in shown)]
        yield f"| {' | '.join(cells)} |"


def _cell(scores: Scores, means: Mapping[str, float], metric: str) -> str:
    return "missing" if metric in scores.missing else _number(means, metric)


def _number(means: Mapping[str, float], metric: str) -> str:
    value = means[metric]
    return "-" if math.isnan(value) else f"{value:.{DIGITS.get(metric, 3)}f}"


def _notes(scores: Scores) -> Iterator[str]:
    method = scores.means["per_clip"]
    counts = f"{counted(int(method['clips']), 'clip')}, {counted(int(method['frames']), 'frame')}"
    yield f"{scores.facts['protocol']}: {counts}; {CROPS[scores.crop]}; source: {SOURCE}."
    networks = ", ".join(f"{role}: {name}{_digest(scores, role)}" for role, name in scores.facts["backbones"].items())
    yield f"Networks: {networks or 'none'}."
    for line in dict.fromkeys(scores.missing.values()):
        metrics = ", ".join(metric for metric, why in scores.missing.items() if why == line)
        yield f"Missing {metrics}: {line}."
    yield from _intervals(scores)
    yield from _gaps(scores)
    yield from _listed("Refused", {clip: [why] for clip, why in scores.refused.items()})
    yield from _listed("Adapted", scores.adapted)
    if scores.disagreeing:
        names = ", ".join(list(scores.disagreeing)[:SHOWN])
        yield (
            f"Audio and video of the truth do not agree here (its own Sync is below {scores.trusted:g}): "
            f"{counted(len(scores.disagreeing), 'clip')}, {names}. Their Sync has little meaning."
        )
    for side, lone in (("generated", scores.pairs.lone_generated), ("true", scores.pairs.lone_truth)):
        if lone:
            yield f"Not scored: {len(lone)} {side} videos without a partner, such as {lone[0]}."


def _digest(scores: Scores, role: str) -> str:
    digest = scores.facts["networks_sha256"].get(role)
    return f" ({digest[:8]})" if digest else ""


def _intervals(scores: Scores) -> Iterator[str]:
    """The uncertainty of the method's means."""
    shown = [
        f"{metric} {one.low:.{DIGITS.get(metric, 3)}f} to {one.high:.{DIGITS.get(metric, 3)}f}"
        for metric, one in scores.intervals.items()
    ]
    if shown:
        most = max(scores.intervals.values(), key=lambda one: one.clips)
        yield f"95 % intervals over {counted(most.actors, 'actor')}, {counted(most.clips, 'clip')}: {', '.join(shown)}."


def _gaps(scores: Scores) -> Iterator[str]:
    """Values that some clips lack though the network is there, with the reasons, and frames without a face."""
    for row, means in scores.means.items():
        title = TITLES.get(row, scores.name)
        gaps = [name for name in METRIC_NAMES if f"{name}_missing" in means and name not in scores.missing]
        if gaps:
            counts = ", ".join(f"{name} in {means[f'{name}_missing']:.0f}" for name in gaps)
            yield f"{title}: no value for {counts} of {counted(int(means['clips']), 'clip')}."
        if means["frames_without_face"]:
            yield f"{title}: no face found in {means['frames_without_face']:.0f} of {means['frames']:.0f} frames."
    reasons: dict[str, int] = {}
    for row in scores.rows["per_clip"]:
        for reason in str(row["why"]).split("; "):
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in list(reasons.items())[:SHOWN]:
        yield f"No value: {reason} ({counted(count, 'clip')})."


def _listed(word: str, lines: Mapping[str, list[str]]) -> Iterator[str]:
    for clip, changes in list(lines.items())[:SHOWN]:
        yield f"{word} {clip}: {'; '.join(changes)}."
    if len(lines) > SHOWN:
        yield f"{word}: {counted(len(lines) - SHOWN, 'more clip')} (--json or --out lists them)."


LABELS = ("emotion", "level", "actor")


def by_label(rows: Iterable[Mapping[str, Any]], label: str) -> dict[str, dict[str, float]]:
    """Group -> number of `clips` and the mean of each metric that a single clip has; NaN where none has a value.

    A clip without the label is in the group `-`. Metrics of the whole set (FID, FVD, E-FID) are left out.
    """
    if label not in LABELS:
        raise UserError(f"--by {label}: expected {', '.join(LABELS)}")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get(label) or "-"), []).append(row)
    metrics = [name for name in METRIC_NAMES if name not in SET_METRICS]
    return {
        group: {"clips": float(len(some)), **{name: _mean(some, name) for name in metrics}}
        for group, some in sorted(groups.items())
    }


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float:
    values = [
        float(row.get(name) or "nan") if isinstance(row.get(name), str) else row.get(name, math.nan) for row in rows
    ]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
