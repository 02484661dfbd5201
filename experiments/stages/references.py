"""References: the metric protocol's values for the true clips and for the portrait without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.schema import ExperimentConfig
from experiments.stage import Measured, Parents, Stage, Work
from experiments.stages.base import any_coefficients, data_of, data_section, network_files, renderer
from metrics.protocol import protocol_name
from metrics.published import needs_judges


class References(Stage):
    """Scores the truth, the portrait held still, and the portrait moved by the face model alone."""

    name = "references"
    stand_in = True
    undefined = ("*",)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Which clips, at which size, by which protocol and networks."""
        return {
            **data_section(any_coefficients(data_of(config))),
            "hef.resolution": config.hef.resolution,
            "evaluate.clips": config.evaluate.clips,
            "evaluate.max_clips": config.evaluate.max_clips,
            "evaluate.networks": config.evaluate.networks,
            "protocol": protocol_name(),
        }

    def parents(self, config: ExperimentConfig) -> Parents:
        """The judges, where a network is a stand-in."""
        return {"judges": ("judges", config)} if needs_judges(config.evaluate.networks.choice()) else {}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The published networks."""
        return network_files(config)

    def work(self, work: Work) -> Measured:
        """One CSV for each row; totals under `<row>/<metric>`."""
        from experiments.csvfiles import write_csv
        from experiments.scoring import Scoring

        config, scoring = work.run.config, Scoring.of(work)
        clips = scoring.clips()
        work.progress.total = len(clips)
        table: dict[str, float] = {}
        rows = scoring.references(clips, renderer(config, data_of(config), config.hef.resolution))
        for kind, scores in rows.items():
            write_csv(work.folder.path / f"{kind}.csv", scores)
            table |= {f"{kind}/{metric}": value for metric, value in scoring.suite.aggregate(scores, kind).items()}
        return Measured(table, {"protocol": scoring.suite.protocol, "clips": len(clips)})


STAGE = References()
