"""Every pair through the metric protocol, and with it two references: the truth itself and its first frame held."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from conventions.files import write_json
from datamodules.naming import parse
from emospace.scoring.clips import ScoredClip, read_clip
from emospace.scoring.networks import published_suite
from emospace.scoring.pairs import Pairs
from experiments.csvfiles import write_csv
from experiments.scoring import protocol_facts
from metrics.protocol import USES
from metrics.suite import Suite

ROWS: Mapping[str, Callable[[ScoredClip], Tensor]] = {
    "per_clip": lambda clip: clip.generated,
    "ground_truth": lambda clip: clip.true,
    "copy_source": lambda clip: clip.true[:1].expand_as(clip.true),
}
"""Frames of each row of the table; a row's values clip by clip go into the CSV file of this name."""

CROP = "whole frames at the truth's size; no face is cut out"
SOURCE = "the first true frame"

NAMED_PARTS = 6
"""Most parts of a path in which a clip's labels stand: MEAD's `M003/video/front/angry/level_1/001`."""


@dataclass(frozen=True)
class Scores:
    """Means of each row, its clips, and what all of it rests on."""

    name: str
    rows: dict[str, list[dict[str, float | str]]]
    means: dict[str, dict[str, float]]
    facts: dict[str, Any]
    missing: dict[str, str]
    """For each metric without a network: what would bring it."""
    adapted: dict[str, list[str]]
    silent: list[str]
    """Clips with no sound in the true video or beside it: they have no Sync."""
    pairs: Pairs
    layout: str | None = None
    """The layout by which names were matched."""

    def json(self) -> dict[str, Any]:
        """One JSON document; a value that does not exist is null."""
        return {
            **self.facts,
            "method": self.name,
            "layout": self.layout,
            "frames": int(self.means["per_clip"]["frames"]),
            "crop": CROP,
            "source": SOURCE,
            "rows": {name: _finite(means) for name, means in self.means.items()},
            "missing": self.missing,
            "adapted": self.adapted,
            "without_sound": self.silent,
            "without_partner": {"generated": self.pairs.lone_generated, "truth": self.pairs.lone_truth},
        }

    def write(self, folder: Path) -> None:
        """A CSV file of clips for each row, then `metrics.json`: where that is there, all is."""
        (folder / "metrics.json").unlink(missing_ok=True)
        for name, rows in self.rows.items():
            write_csv(folder / f"{name}.csv", rows)
        write_json(folder / "metrics.json", self.json())


def check_folder(folder: Path) -> None:
    """UserError, before any work, where results cannot be written."""
    if not folder.is_dir() and any(path.exists() and not path.is_dir() for path in (folder, *folder.parents)):
        raise UserError(f"{folder}: is no folder, nor can one be made there")


def score(
    pairs: Pairs,
    name: str,
    weights: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scores:
    """Score every pair; `name` is the method's in the table."""
    layout = next((pair.layout.id for pair in pairs.pairs if pair.layout is not None), None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    suite, missing = published_suite(weights, device)
    suites = {row: suite.fresh() for row in ROWS}
    rows: dict[str, list[dict[str, float | str]]] = {row: [] for row in ROWS}
    adapted: dict[str, list[str]] = {}
    silent: list[str] = []
    for done, pair in enumerate(pairs.pairs):
        progress(done, len(pairs.pairs))
        clip = read_clip(pair)
        if clip.adapted:
            adapted[pair.id] = clip.adapted
        if clip.audio.numel() == 0:
            silent.append(pair.id)
        for row, frames in ROWS.items():
            values = score_row(suites[row], clip, frames(clip), emotion_of(pair.truth), device)
            rows[row].append({"id": clip.id, **values, "adapted": "; ".join(clip.adapted)})
    progress(len(pairs.pairs), len(pairs.pairs))
    means = {row: suites[row].aggregate([_numbers(values) for values in rows[row]]) for row in ROWS}
    facts = protocol_facts(suites["per_clip"], rows["per_clip"], [])
    return Scores(
        name,
        rows,
        means,
        {key: value for key, value in facts.items() if key not in ("refused", "clips_with_undefined")},
        {metric: missing[role] for role in missing for metric in USES[role]},
        adapted,
        silent,
        pairs,
        layout,
    )


def score_row(
    suite: Suite, clip: ScoredClip, frames: Tensor, emotion: int | None, device: torch.device
) -> dict[str, float]:
    """The protocol's values of some frames against the true ones of a clip."""
    true = clip.true.to(device)
    return suite.score_clip(frames.to(device), true, clip.audio, true[:1], emotion)


def emotion_of(truth: Path) -> int | None:
    """Index in `EMOTIONS` of what a true video's path says by a data set's rule; None where no rule knows it.

    The fewest last parts that a rule can read are read: folders above the data say nothing of a clip.
    """
    parts = truth.resolve().with_suffix("").parts
    for count in range(1, NAMED_PARTS + 1):
        if (named := parse("/".join(parts[-count:]), {})) is not None:
            return EMOTIONS.index(named[1].emotion) if named[1].emotion in EMOTIONS else None
    return None


def _numbers(row: Mapping[str, float | str]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


def _finite(means: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in means.items()}
