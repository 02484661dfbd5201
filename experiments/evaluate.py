"""The last stage: the whole pipeline on test clips, scored by the metric protocol, with samples to look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from datamodules.mead import ClipItem, MEADDataModule, Reference
from datamodules.store import StoredClip
from experiments.csvfiles import write_csv
from experiments.graph import StageRun
from experiments.runner import Measured, Work
from experiments.samples import Sample, write_sample
from experiments.stages import Networks, device_of, encoder_of
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule
from lightning_modules.pipeline import Pipeline, Talking
from lightning_modules.standins.judges.module import JudgesModule
from lightning_modules.training.memory import keep_freed_memory
from metrics.protocol import METRIC_NAMES, PROTOCOL
from metrics.suite import Suite

Row = dict[str, float | int | str]


def load_pipeline(run: StageRun, networks: Networks, device: torch.device) -> Pipeline:
    """The pipeline of a finished run's parents."""
    eac_run, hef_run = run.parents["eac"], run.parents["hef"]
    eac, hef = networks.typed(eac_run, EACModule).to(device), networks.typed(hef_run, HEFModule).to(device)
    encoders = [encoder_of(networks.load(parent.parents["ame"])).to(device) for parent in (eac_run, hef_run)]
    return Pipeline(encoders[0], eac, hef, encoders[1])


def emotion_code(
    encoder: EmotionEncoder, modality: str, item: ClipItem, picture: Float[Tensor, "3 r r"], device: torch.device
) -> EmotionCode:
    """The clip's emotion: its style's plainest prompt, a picture of the same style, or the clip's own sound."""
    if modality == "text":
        return encoder.encode_text([style_prompt(item.emotion or "neutral", item.level or 1, 0)])
    if modality == "image":
        return encoder.encode_image(picture.to(device)[None])
    mel = item.mel.to(device)[None]
    return encoder.encode_audio(mel, torch.ones(mel.shape[:2], dtype=torch.bool, device=device))


def emotion_picture(data: MEADDataModule, clip: StoredClip, clips: Sequence[StoredClip]) -> Float[Tensor, "3 r r"]:
    """The middle frame of the next clip of the same style, by id; another actor's where there is one."""
    alike = [c for c in clips if (c.emotion, c.level) == (clip.emotion, clip.level) and c.id != clip.id]
    others = [c for c in alike if c.actor != clip.actor] or alike or [clip]
    chosen = min(others, key=lambda c: (c.id < clip.id, c.id))
    return data.clip_item(chosen).frames[chosen.length // 2]


def speak(
    pipeline: Pipeline,
    run: StageRun,
    data: MEADDataModule,
    clip: StoredClip,
    clips: Sequence[StoredClip],
    item: ClipItem,
    source: Reference,
) -> Talking:
    """A test clip as the run makes it: its emotion told by `evaluate.modality`, with a picture from `clips`."""
    modality, device = run.config.evaluate.modality, pipeline.eac.device
    picture = emotion_picture(data, clip, clips) if modality == "image" else source.image
    codes = [emotion_code(e, modality, item, picture, device) for e in (pipeline.encoder, pipeline.hef_encoder)]
    return pipeline.talk(item, source, codes[0], codes[1])


def chosen_clips(run: StageRun, data: MEADDataModule) -> list[StoredClip]:
    """The test clips to score: all, or `evaluate.max_clips` of them, evenly taken."""
    config = run.config.evaluate
    clips = [clip for clip in data.test_clips(config.clips) if clip.has_coefficients and clip.has_audio]
    if not clips:
        raise UserError(f"{run.config.data.store}: no test clip of {config.clips} styles with sound and coefficients")
    return evenly(clips, config.max_clips or len(clips))


def evenly(clips: Sequence[StoredClip], count: int) -> list[StoredClip]:
    """At most `count` clips, evenly taken."""
    places = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    return [clips[place] for place in places]


def test_data(run: StageRun) -> MEADDataModule:
    """The test clips at HEF's resolution."""
    return MEADDataModule(run.config.data, "hef", 1, run.seed, run.config.hef.resolution)


def judged_suite(run: StageRun, networks: Networks, device: torch.device) -> Suite:
    """The metric protocol with the run's judges."""
    return networks.typed(run.parents["judges"], JudgesModule).to(device).suite()


Maker = Callable[[StoredClip, ClipItem, Reference], Tensor]
"""Generated frames of a clip; UserError for a style that cannot be expressed."""


def score_clips(
    work: Work, suite: Suite, data: MEADDataModule, clips: Sequence[StoredClip], make: Maker
) -> tuple[list[Row], list[str]]:
    """One row for each clip, and the ids of the clips whose style was refused."""
    rows, refused = list[Row](), list[str]()
    device = device_of(work.run)
    for clip in clips:
        work.interruption.check()
        item, source = data.clip_item(clip), data.reference_frame(clip.actor)
        try:
            frames = make(clip, item, source)
        except UserError:
            refused.append(clip.id)
        else:
            emotion = EMOTIONS.index(clip.emotion) if clip.emotion in EMOTIONS else None
            true, audio, portrait = item.frames.to(device), item.audio.to(device), source.image.to(device)[None]
            scores = suite.score_clip(frames, true, audio, portrait, emotion)
            rows.append({"id": clip.id, "actor": clip.actor, "emotion": clip.emotion or "", **scores})
        work.progress.advance(work.progress.step + 1)
    return rows, refused


def evaluate(work: Work) -> Measured:
    """Worker of the stage `evaluate`."""
    run, networks = work.run, Networks(work.runs)
    device, data = device_of(run), test_data(run)
    keep_freed_memory()
    pipeline, suite = load_pipeline(run, networks, device), judged_suite(run, networks, device)
    clips = chosen_clips(run, data)
    shown = {clip.id for clip in evenly(clips, run.config.evaluate.samples)}
    work.progress.total = len(clips)

    def make(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
        talking = speak(pipeline, run, data, clip, clips, item, source)
        if clip.id in shown:
            sample = Sample(source.image, talking.render, talking.frames, item.frames, talking.flow, item.audio)
            write_sample(work.folder.samples, clip.id, sample)
        return talking.frames

    rows, refused = score_clips(work, suite, data, clips, make)
    return measured(work, suite, rows, refused)


def measured(work: Work, suite: Suite, rows: Sequence[Row], refused: Sequence[str]) -> Measured:
    """Means over the clips and what they rest on; the rows go to per_clip.csv."""
    if not rows:
        raise UserError(f"run {work.run.id}: the encoder can express the style of none of {len(refused)} test clips")
    write_csv(work.folder.path / "per_clip.csv", rows)
    table = suite.aggregate([{k: v for k, v in row.items() if not isinstance(v, str)} for row in rows])
    return Measured(table, protocol_facts(suite, rows, refused))


def protocol_facts(suite: Suite, rows: Sequence[Row], refused: Sequence[str]) -> dict[str, object]:
    """Protocol, networks and counts for metrics.json."""
    return {
        "protocol": PROTOCOL,
        "backbones": suite.backbones,
        "stand_ins": sorted(suite.stand_ins),
        "clips": len(rows),
        "clips_with_undefined": sum(any(row[name] != row[name] for name in clip_metrics()) for row in rows),
        "refused": list(refused),
    }


def clip_metrics() -> Iterator[str]:
    """Metrics that a single clip can have."""
    return (name for name in METRIC_NAMES if name != "FID")


REFERENCES: Mapping[str, Callable[[ClipItem, Reference], Tensor]] = {
    "ground_truth": lambda item, source: item.frames,
    "copy_source": lambda item, source: source.image[None].expand_as(item.frames),
}


def references(work: Work) -> Measured:
    """Worker of the stage `references`: what the protocol says of the true clips and of the portrait held still."""
    run, networks = work.run, Networks(work.runs)
    device, data = device_of(run), test_data(run)
    clips = chosen_clips(run, data)
    work.progress.total = len(clips) * len(REFERENCES)
    table: dict[str, float] = {}
    for name, frames in REFERENCES.items():
        suite = judged_suite(run, networks, device)

        def make(clip: StoredClip, item: ClipItem, source: Reference, frames=frames) -> Tensor:
            return frames(item, source).to(device)

        rows, _ = score_clips(work, suite, data, clips, make)
        write_csv(work.folder.path / f"{name}.csv", rows)
        means = suite.aggregate([{k: v for k, v in row.items() if not isinstance(v, str)} for row in rows])
        table |= {f"{name}/{metric}": value for metric, value in means.items()}
    return Measured(table, {"protocol": PROTOCOL, "clips": len(clips)})
