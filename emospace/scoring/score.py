"""Every pair through the metric protocol, with two references: the truth itself and its first frame held still.

A scored folder again: are the files still those that were scored, and do they still give the same values?
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ablations.statistics import Difference, mean_of
from conventions.errors import UserError
from conventions.files import sha256_of, write_json
from emospace.scoring.clips import PairedClip, read_clip
from emospace.scoring.pairs import Pair, Pairs
from experiments.run_content import write_csv
from metrics.networks import Networks, load_networks
from metrics.protocol import METRIC_NAMES, NATURALNESS, SET_METRICS, USES, Crop
from metrics.published import PUBLISHED, Choice
from metrics.suite import ScoreRow, Suite

ROWS = ("per_clip", "ground_truth", "copy_source")
"""Rows of the table; a row's values clip by clip go into the CSV file of this name."""

CROPS = {
    "wide-v1": "faces cut by the truth's landmarks (wide-v1, 256 px; Sync: SyncNet's crop, 224 px)",
    "none": "whole frames at the truth's size",
}
SOURCE = "the first true frame, which is not scored"

Progress = Callable[..., None]


@dataclass(frozen=True)
class Scores:
    """Means of each row, its clips, and what all of it rests on."""

    name: str
    crop: Crop
    rows: dict[str, list[dict[str, Any]]]
    means: dict[str, dict[str, float]]
    facts: dict[str, Any]
    missing: dict[str, str]
    """For each metric without a network: what would bring it."""
    adapted: dict[str, list[str]]
    refused: dict[str, str]
    """Clips of which nothing could be scored, with the reason."""
    files: dict[str, dict[str, str]]
    """SHA-256 of each clip's generated and true video."""
    trusted: float
    """Sync confidence that a true clip has at least where its audio and video agree."""
    pairs: Pairs
    layout: str | None = None
    """The layout by which names were matched."""
    intervals: dict[str, Difference] = field(default_factory=dict)
    """Of each metric's mean over actors and clips."""

    def json(self) -> dict[str, Any]:
        """One JSON document; a value that does not exist is null."""
        return {
            **self.facts,
            "method": self.name,
            "layout": self.layout,
            "frames": int(self.means["per_clip"]["frames"]),
            "crop": CROPS[self.crop],
            "source": SOURCE,
            "rows": {name: _finite(means) for name, means in self.means.items()},
            "intervals": {
                metric: {name: getattr(one, name) for name in ("low", "high", "width", "clips", "actors")}
                for metric, one in self.intervals.items()
            },
            "missing": self.missing,
            "adapted": self.adapted,
            "refused": self.refused,
            "why": {row["id"]: row["why"] for row in self.rows["per_clip"] if row["why"]},
            "disagreeing": self.disagreeing,
            "without_partner": {"generated": self.pairs.lone_generated, "truth": self.pairs.lone_truth},
            "files_sha256": self.files,
        }

    @property
    def disagreeing(self) -> dict[str, float]:
        """Confidence of each true clip whose own audio and video do not agree."""
        found = {row["id"]: row["Sync_truth"] for row in self.rows["per_clip"]}
        return {clip: value for clip, value in found.items() if value < self.trusted}

    def write(self, folder: Path) -> None:
        """A CSV file of clips for each row, then `metrics.json`: where that is there, all is."""
        (folder / "metrics.json").unlink(missing_ok=True)
        for name, rows in self.rows.items():
            write_csv(folder / f"{name}.csv", rows)
        write_json(folder / "metrics.json", self.json())


def check_folder(folder: Path) -> None:
    """UserError, before any work, where results cannot be written."""
    if not folder.is_dir() and any(path.exists() and not path.is_dir() for path in (folder, *folder.parents)):
        raise UserError(f"{folder}: is not a folder, and one cannot be created there")


def score_networks(choice: Choice | None, weights: Path | None, crop: Crop, device: torch.device) -> Networks:
    """The networks to score with; without a choice, those published ones that are here.

    UserError where a chosen one is absent, and where faces are to be cut and the landmark network is absent.
    """
    networks = load_networks(choice or PUBLISHED, weights, device, complete=choice is not None)
    if crop != "none" and networks.landmarks is None:
        remedy = networks.missing.get("landmarks", "no landmark network")
        raise UserError(f"faces are cut by landmarks: {remedy}; or give --crop none, which scores whole frames")
    return networks


def score(
    pairs: Pairs,
    name: str,
    weights: Path | None = None,
    progress: Progress = lambda done, total, note="": None,
    crop: Crop = "wide-v1",
    choice: Choice | None = None,
) -> Scores:
    """Score every pair; `name` is the method's in the table, `choice` that of the networks."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = score_networks(choice, weights, crop, device)
    suite = Suite(networks, crop, device)
    rows: dict[str, list[dict[str, Any]]] = {row: [] for row in ROWS}
    clips, total = [], len(pairs.pairs)
    for done, pair in enumerate(pairs.pairs):
        clips.append(score_pair(suite, pair, rows, lambda text, done=done: progress(done, total, f", {text}")))
    progress(total, total)
    means = {row: suite.aggregate(rows[row], row) for row in ROWS}
    missing = {metric: networks.missing[role] for role in networks.missing for metric in USES[role]}
    return Scores(
        name,
        crop,
        rows,
        means,
        suite.facts(rows["per_clip"]),
        {metric: missing[metric] for metric in METRIC_NAMES if metric in missing},
        {clip.id: clip.adapted for clip in clips if clip.adapted},
        {clip.id: clip.refused for clip in clips if clip.clip is None},
        {pair.id: digests_of(pair) for pair in pairs.pairs},
        networks.sync.trusted if networks.sync is not None else 0.0,
        pairs,
        next((pair.layout.id for pair in pairs.pairs if pair.layout is not None), None),
        intervals_of(rows["per_clip"]),
    )


def score_pair(
    suite: Suite, pair: Pair, rows: dict[str, list[dict[str, Any]]], progress: Callable[[str], None]
) -> PairedClip:
    """Track, cut and score one pair; its values join `rows`."""
    clip = read_clip(pair, suite.networks.landmarks, suite.crop, lambda done: progress(f"frame {done} tracked"))
    if clip.clip is None:
        found: Mapping[str, ScoreRow] = suite.unscored(clip.refused, ROWS)
    else:
        whole = clip.clip.with_references()
        found = suite.score(whole, lambda done, total: progress(f"frame {done} of {total} scored"))
    for row in ROWS:
        extra = {"Sync_truth": math.nan, "SyncOffset_truth": math.nan, **found[row]}
        why = str(extra.pop("why"))
        rows[row].append({"id": clip.id, **clip.labels, **extra, "why": why, "adapted": "; ".join(clip.adapted)})
    return clip


def digests_of(pair: Pair) -> dict[str, str]:
    """SHA-256 of the generated and of the true video; of images, that of their digests in order."""
    if not pair.stills:
        return {"generated": sha256_of(pair.generated), "truth": sha256_of(pair.truth)}
    joined = "".join(sha256_of(path) for path in pair.stills)
    return {"generated": hashlib.sha256(joined.encode()).hexdigest(), "truth": sha256_of(pair.truth)}


def intervals_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Difference]:
    """Bootstrap interval of each metric that the table gives as a mean over clips."""
    rows = list(rows)
    actors = {row["id"]: row["actor"] for row in rows if row["actor"]}
    metrics = [metric for metric in METRIC_NAMES if metric not in (*SET_METRICS, *NATURALNESS)]
    found = {metric: mean_of({0: {row["id"]: row[metric] for row in rows}}, actors) for metric in metrics}
    return {metric: one for metric, one in found.items() if one is not None}


def _finite(means: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in means.items()}


TOLERANCE = 1e-4
"""Relative difference of a value under which it is the same: other processors and thread counts round differently."""


def read_document(folder: Path) -> dict[str, Any]:
    """The folder's metrics.json; UserError where it is none of `emospace score --out`."""
    path = folder / "metrics.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["files_sha256"].items()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: is not what emospace score --out writes ({type(error).__name__})") from error
    return document


def other_files(document: Mapping[str, Any], pairs: Pairs) -> list[str]:
    """What differs between the files that were scored and those of `pairs`, before anything is scored."""
    before = document["files_sha256"]
    now = {pair.id: pair for pair in pairs.pairs}
    lines = [f"{clip}: was scored and is not here" for clip in before if clip not in now]
    lines += [f"{clip}: is here and was not scored" for clip in now if clip not in before]
    for clip in before.keys() & now.keys():
        found = digests_of(now[clip])
        lines += [
            f"{clip}: the {side} video is another file" for side in found if found[side] != before[clip].get(side)
        ]
    return sorted(lines)


def differences(folder: Path, document: Mapping[str, Any], scores: Scores) -> list[str]:
    """What differs between a folder and its scores computed again: protocol, networks, means and clips."""
    again = scores.json()
    lines = [
        f"{key}: was {document.get(key)}, is {again[key]}"
        for key in ("protocol", "backbones", "networks_sha256")
        if document.get(key) != again[key]
    ]
    for row in ROWS:
        means = document["rows"].get(row, {})
        lines += [f"{row}: {line}" for line in _unlike(means, again["rows"][row])]
        lines += [f"{row}: {line}" for line in _clips(folder / f"{row}.csv", scores.rows[row])]
    return lines


def _clips(path: Path, rows: list[dict[str, Any]]) -> Iterator[str]:
    if not path.is_file():
        yield f"{path.name} is absent"
        return
    with path.open(newline="", encoding="utf-8") as file:
        before = {row["id"]: row for row in csv.DictReader(file)}
    for row in rows:
        if row["id"] in before:
            yield from (f"{row['id']}: {line}" for line in _unlike(before[row["id"]], row))


def _unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for metric in METRIC_NAMES:
        old, new = (_number(one.get(metric)) for one in (before, now))
        both_missing = math.isnan(old) and math.isnan(new)
        if not both_missing and not math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{metric} was {old:.9g}, is {new:.9g}"


def _number(value: Any) -> float:
    return math.nan if value in (None, "") else float(value)
