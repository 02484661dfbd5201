"""References: what the metric protocol gives for the true clips and for the portrait held still."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments.schema import ExperimentConfig
from experiments.stage import Measured, Parents, Stage, Work
from experiments.stages.base import data_of, data_section

if TYPE_CHECKING:
    from torch import Tensor

    from datamodules.mead import ClipItem, Reference

KINDS: "Mapping[str, Callable[[ClipItem, Reference], Tensor]]" = {
    "ground_truth": lambda item, source: item.frames,
    "copy_source": lambda item, source: source.image[None].expand_as(item.frames),
}
"""Frames of each reference row, from a test clip and its actor's portrait."""


class References(Stage):
    """Scores `KINDS` on the test clips that `evaluate` scores."""

    name = "references"
    stand_in = True
    undefined = ("*",)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Which clips, at which size, by which protocol."""
        from metrics.protocol import PROTOCOL

        return {
            **data_section(data_of(config)),
            "hef.resolution": config.hef.resolution,
            "evaluate.clips": config.evaluate.clips,
            "evaluate.max_clips": config.evaluate.max_clips,
            "protocol": PROTOCOL,
        }

    def parents(self, config: ExperimentConfig) -> Parents:
        """The judges."""
        return {"judges": ("judges", config)}

    def work(self, work: Work) -> Measured:
        """One CSV for each reference; means under `<kind>/<metric>`."""
        from experiments.csvfiles import write_csv
        from experiments.scoring import Scoring
        from metrics.protocol import PROTOCOL

        table: dict[str, float] = {}
        for kind, frames in KINDS.items():
            scoring = Scoring.of(work)  # a suite keeps what its FID has seen
            clips = scoring.clips()
            work.progress.total = len(clips) * len(KINDS)
            rows, _ = scoring.rows(clips, lambda clip, item, source, frames=frames: frames(item, source))
            write_csv(work.folder.path / f"{kind}.csv", rows)
            table |= {f"{kind}/{metric}": value for metric, value in scoring.means(rows).items()}
        return Measured(table, {"protocol": PROTOCOL, "clips": len(clips)})


STAGE = References()
