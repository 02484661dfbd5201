"""Scoring test clips of a run by the metric protocol: which clips, whose frames, one row for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import EMOTIONS
from datamodules.clips import Clips
from datamodules.mead import ClipItem, MEADDataModule, Reference, evenly
from datamodules.store import StoredClip
from experiments.networks import Networks, device_of
from experiments.stage import StageRun, Work
from experiments.stages.base import data_of, same_style
from face3d.renderer import Renderer, warp_source
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, RefusedStyle
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.pipeline import Pipeline, Talking
from lightning_modules.standins.judges.module import JudgesModule
from metrics.face_clip import FaceClip
from metrics.networks import load_networks
from metrics.suite import Suite

ClipScores = dict[str, float | str]
"""One clip's id, actor, emotion, metrics, and why values are missing."""
Maker = Callable[[StoredClip, ClipItem, Reference], Tensor]
"""Generated frames of a clip; RefusedStyle for a style that cannot be expressed."""


@dataclass(frozen=True)
class Scoring:
    """A run's test clips and the networks that score them."""

    work: Work
    networks: Networks
    data: MEADDataModule
    suite: Suite

    @classmethod
    def of(cls, work: Work) -> "Scoring":
        """The scoring that the run's configuration asks for."""
        run, networks = work.run, Networks(work.runs)
        judges = networks.typed(run.parents["judges"], JudgesModule) if "judges" in run.parents else None
        choice, device = run.config.evaluate.networks.choice(), device_of(run)
        behind = load_networks(choice, device=device, judges=None if judges is None else judges.to(device).eval())
        return cls(work, networks, test_data(run), Suite(behind, device=device))

    def clips(self) -> list[StoredClip]:
        """The test clips to score."""
        return chosen_clips(self.work.run, self.data)

    def rows(self, clips: Sequence[StoredClip], make: Maker) -> tuple[list[ClipScores], list[str]]:
        """One row for each clip, and the ids of the clips whose style was refused."""
        rows, refused = list[ClipScores](), list[str]()
        for clip in clips:
            self.work.interruption.check()
            item, source = self.data.clip_item(clip), self.data.reference_frame(clip.actor)
            try:
                frames = make(clip, item, source)
            except RefusedStyle:
                refused.append(clip.id)
            else:
                scores = self.suite.score(face_clip(clip, item, source).with_generated(frames))
                rows.append(labels(clip) | scores["per_clip"])
            self.work.progress.advance(self.work.progress.step + 1)
        return rows, refused

    def references(self, clips: Sequence[StoredClip], renderer: Renderer) -> dict[str, list[ClipScores]]:
        """Rows of the truth, of the portrait held still, and of the portrait moved by the face model alone."""
        rows: dict[str, list[ClipScores]] = {}
        for clip in clips:
            self.work.interruption.check()
            item, source = self.data.clip_item(clip), self.data.reference_frame(clip.actor)
            moved = warp_source(
                renderer, source.image, source.true_coefficients, source.placement, item.exact, item.placement
            )
            whole = face_clip(clip, item, source).with_references().with_generated(moved, "warp_source")
            for kind, scores in self.suite.score(whole).items():
                rows.setdefault(kind, []).append(labels(clip) | scores)
            self.work.progress.advance(self.work.progress.step + 1)
        return rows


def labels(clip: StoredClip) -> ClipScores:
    """What groups a clip's scores."""
    return {"id": clip.id, "actor": clip.actor, "emotion": clip.emotion or "", "level": float(clip.level or 0)}


def face_clip(clip: StoredClip, item: ClipItem, source: Reference) -> FaceClip:
    """A stored clip as the metrics look at it; the frame that the portrait is does not count."""
    landmarks = item.landmarks if clip.has_landmarks else None
    index = source.index if source.clip == clip.id else None
    emotion = EMOTIONS.index(clip.emotion) if clip.emotion in EMOTIONS else None
    return FaceClip.from_store(item.frames, landmarks, item.audio, source.image[None], index, emotion)


def test_data(run: StageRun) -> MEADDataModule:
    """The test clips at HEF's resolution."""
    return MEADDataModule(data_of(run.config), "hef", 1, run.seed, run.config.hef.resolution)


def clips_by_config(run: StageRun, data: MEADDataModule) -> Clips:
    """The clips that `evaluate.clips` names."""
    kind = run.config.evaluate.clips
    return data.val_clips() if kind == "val" else data.test_clips(kind)


def chosen_clips(run: StageRun, data: MEADDataModule) -> list[StoredClip]:
    """The clips to score: all that can be, or `evaluate.max_clips` of them, evenly taken."""
    most = run.config.evaluate.max_clips
    clips = [clip for clip in clips_by_config(run, data) if clip.has_coefficients and clip.has_audio]
    return evenly(clips, most or len(clips))


def emotion_code(
    encoder: EmotionEncoder, modality: str, item: ClipItem, picture: Float[Tensor, "3 r r"], device: torch.device
) -> EmotionCode:
    """The clip's emotion: its style's plainest prompt, an image of the same style, or the clip's own audio."""
    if modality == "text":
        return encoder.encode_text([style_prompt(item.emotion or "neutral", item.level or 1, 0)])
    if modality == "image":
        return encoder.encode_image(picture.to(device)[None])
    voice = item.voice.to(device)[None]
    return encoder.encode_audio(voice, torch.ones(voice.shape[:2], dtype=torch.bool, device=device))


def emotion_picture(data: MEADDataModule, clip: StoredClip, clips: Sequence[StoredClip]) -> Float[Tensor, "3 r r"]:
    """The middle frame of the next clip of the same style, by id; another actor's where there is one."""
    alike = same_style(clip, clips)
    others = [c for c in alike if c.actor != clip.actor] or alike
    chosen = min(others, key=lambda c: (c.id < clip.id, c.id))
    return data.clip_item(chosen).frames[chosen.length // 2]


def speak(
    pipeline: Pipeline, run: StageRun, data: MEADDataModule, clip: StoredClip, item: ClipItem, source: Reference
) -> Talking:
    """A test clip as the run makes it, its emotion given by `evaluate.modality`."""
    modality, device = run.config.evaluate.modality, pipeline.eac.device
    picture = emotion_picture(data, clip, clips_by_config(run, data)) if modality == "image" else source.image
    codes = [emotion_code(e, modality, item, picture, device) for e in (pipeline.encoder, pipeline.hef_encoder)]
    return pipeline.talk(item, source, codes[0], codes[1])
