"""What is scored by the metric protocol: the whole pipeline on test clips, and references without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conventions.errors import UserError
from datamodules.splits import Split
from experiments.schema import ExperimentConfig
from experiments.stage import Measured, Parents, Stage, Work
from experiments.stages.base import (
    PROMPTS,
    any_coefficients,
    clips_of,
    data_of,
    data_section,
    network_files,
    open_store,
    renderer,
    same_style,
    trained_on,
)
from metrics.protocol import protocol_name
from metrics.published import check_networks, entries, needs_judges

if TYPE_CHECKING:
    from torch import Tensor

    from datamodules.mead import ClipItem, Reference
    from datamodules.store import StoredClip

BASIC = ("basic", None)
CLIPS = {"basic": ("test", BASIC), "unseen": ("test", ("compound", "new")), "val": ("val", BASIC)}
"""Role of the actors and kinds of the clips by `evaluate.clips`; the kind None is a clip without a label."""


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
        return _networks(config)

    def work(self, work: Work) -> Measured:
        """One CSV for each row; totals under `<row>/<metric>`."""
        from experiments.run_content import write_csv
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


class Evaluate(Stage):
    """Scores the pipeline of one EAC and one HEF. A split without test or judge actors gives a run without scores."""

    name = "evaluate"
    undefined = ("*",)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the protocol."""
        return {"evaluate": config.evaluate, **data_section(data_of(config)), "protocol": protocol_name()}

    def parents(self, config: ExperimentConfig) -> Parents:
        """EAC and HEF; references, and judges where a network is a stand-in, where the split has actors to score."""
        scoring = [] if unscored(config) else ["references"]
        judges = ["judges"] if scoring and needs_judges(config.evaluate.networks.choice()) else []
        return {name: (name, config) for name in ("eac", "hef", *scoring, *judges)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts and the published networks."""
        return {"prompts.yaml": PROMPTS, **_networks(config)}

    def check(self, config: ExperimentConfig) -> None:
        """Test clips with audio and coefficients, of actors on whom no stage trains."""
        if unscored(config):
            return
        check_networks(config.evaluate.networks.choice())
        data, (role, kinds) = data_of(config), CLIPS[config.evaluate.clips]
        open_store(data).speech_form(data.speech)
        tested = clips_of(open_store(data), data, role)
        found = tested.where(kind=kinds, has_audio=[True], has_coefficients=[True])
        if not found:
            raise UserError(
                f"{data.store}: no {role} clip with audio and coefficients for evaluate.clips: "
                f"{config.evaluate.clips} in the split {data.split!r}"
            )
        if config.evaluate.modality == "image" and not config.evaluate.max_clips:
            for clip in found.groups("emotion", "level").alone():
                same_style(clip, found)
        _check_actors(config, role, set(found.values("actor")))

    def work(self, work: Work) -> Measured:
        """One row for each clip in per_clip.csv, means in metrics.json."""
        if reason := unscored(work.run.config):
            return Measured({}, {"skipped": reason})
        return _score(work)


def _networks(config: ExperimentConfig) -> dict[str, Path]:
    return network_files("evaluate.networks", entries(config.evaluate.networks.choice()).values())


def unscored(config: ExperimentConfig) -> str | None:
    """Why the pipeline cannot be scored: a role of the split that no actor has."""
    split, scored = Split.load(config.data.split), CLIPS[config.evaluate.clips][0]
    for role in (scored, "judge") if needs_judges(config.evaluate.networks.choice()) else (scored,):
        if not split.actors.get(role) and split.rest != role:
            return f"the split {config.data.split!r} has no {role} actors"
    return None


def _check_actors(config: ExperimentConfig, role: str, scored: set[str]) -> None:
    """No actor with the scored role is a training actor of a stage that has a store or a split of its own."""
    for stage in ("ame", "eac", "hef"):
        for data in trained_on(config, stage):
            if data == config.data:
                continue
            trained = set(clips_of(open_store(data), data, "train").values("actor"))
            if both := sorted(trained & scored):
                raise UserError(
                    f"{stage}.data: trains on {', '.join(both)}, {role} actors of the split {config.data.split!r}; "
                    f"give {stage}.data.split without them"
                )


def _score(work: Work) -> Measured:
    from datamodules.mead import evenly
    from experiments.networks import load_pipeline
    from experiments.run_content import write_csv
    from experiments.samples import Sample, write_sample
    from experiments.scoring import Scoring, speak
    from lightning_modules.training.memory import keep_freed_memory
    from metrics.face_clip import TensorFrames, frames_sha256

    keep_freed_memory()
    scoring = Scoring.of(work)
    pipeline, clips = load_pipeline(work.run, scoring.networks, scoring.suite.device), scoring.clips()
    shown = {clip.id for clip in evenly(clips, work.run.config.evaluate.samples)}
    work.progress.total, made = len(clips), dict[str, str]()

    def make(clip: "StoredClip", item: "ClipItem", source: "Reference") -> "Tensor":
        talking = speak(pipeline, work.run, scoring.data, clip, item, source)
        if clip.id in shown:
            sample = Sample(source.image, talking.render, talking.frames, item.frames, talking.flow, item.audio)
            write_sample(work.folder.samples, clip.id, sample)
        made[clip.id] = frames_sha256(TensorFrames(talking.frames))
        return talking.frames

    rows, refused = scoring.rows(clips, make)
    if not rows:
        raise UserError(
            f"run {work.run.id}: the encoder cannot express the style of any of the {len(refused)} test clips"
        )
    write_csv(work.folder.path / "per_clip.csv", rows)
    facts = {**scoring.suite.facts(rows), "refused": refused, "frames_sha256": made}
    return Measured(scoring.suite.aggregate(rows), facts)
