"""`Talker`: portrait + speech + emotion -> a talking face, from the modules of one finished run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from conventions.errors import UserError
from conventions.rates import SAMPLES_PER_FRAME, VIDEO_FPS
from datamodules.audio import mfcc_windows, read_audio
from datamodules.mead import Reference
from datamodules.video import VideoWriter
from emospace.emotion_input import emotion_code
from emospace.portrait import read_portrait
from experiments.evaluate import CHUNK, Pipeline, driving
from experiments.readback import read_run
from experiments.rundir import RunFolder, list_runs
from experiments.stages import Networks, device_of
from face3d.coefficients import IDENTITY
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.streaming import stream


@dataclass(frozen=True)
class TalkReport:
    """What a talking face was made from."""

    out: str
    frames: int
    seconds: float
    size: int
    level: float
    """Intensity that was read from the emotion, 0 (none) .. 3."""
    run: str
    stand_ins: list[str]
    """Why the picture says nothing about the paper's quality; empty for weights trained on real data."""


def newest_run(runs: Path) -> RunFolder:
    """The finished full pipeline that ended last; UserError when there is none."""
    done = [RunFolder(runs / run.id) for run in list_runs(runs) if run.state == "done" and "-evaluate." in run.id]
    full = [folder for folder in done if folder.status.get("variant") == "full"]
    if not (full or done):
        raise UserError(f"{runs}: holds no finished run of stage evaluate; `emospace run toy` makes one")
    return max(full or done, key=lambda folder: folder.status.get("heartbeat", 0.0))


class Talker:
    """Makes talking faces with one run's AME, EAC and HEF.

    `Talker(RunFolder(Path("runs/toy-evaluate.full.s0.1a2b3c4d"))).talk(portrait, audio, "quietly happy", out)`
    """

    def __init__(self, folder: RunFolder) -> None:
        run = read_run(folder)
        if run.stage != "evaluate":
            raise UserError(f"run {run.id}: is of stage {run.stage}; a talking face needs a run of stage evaluate")
        self.run, self.device = run, device_of(run)
        self.pipeline = Pipeline.load(run, Networks(folder.path.parent), self.device)
        self.size = run.config.hef.resolution
        self.face_model = self.pipeline.hef.renderer.model.to("cpu")

    def talk(
        self,
        portrait: Path,
        audio: Path,
        emotion: str,
        out: Path,
        *,
        level: float | None = None,
        weights: Path | None = None,
    ) -> TalkReport:
        """Write the mp4 `out`: the portrait's face, head held still, speaking `audio` with `emotion`.

        `emotion` is a text, an image file or a sound file; `level` in 0..3 overrides its intensity; `weights` is the
        folder of face_landmarker.task, needed when no `.mat` lies beside the portrait.
        """
        code = emotion_code(self.pipeline.encoder, emotion, level)
        hef_code = emotion_code(self.pipeline.hef_encoder, emotion, level)
        waveform = read_audio(audio)
        num_frames = len(waveform) // SAMPLES_PER_FRAME
        if num_frames == 0:
            raise UserError(f"{audio}: is shorter than one video frame (40 ms)")
        source = read_portrait(portrait, self.face_model, self.size, weights)
        mfcc = torch.from_numpy(mfcc_windows(waveform, num_frames))
        with VideoWriter(out, self.size, self.size, sample_rate=16_000) as writer:
            for index, frames in enumerate(self.frames(source, mfcc, code, hef_code)):
                start = index * CHUNK
                writer.add_frames(frames)
                writer.add_audio(waveform[start * SAMPLES_PER_FRAME : (start + len(frames)) * SAMPLES_PER_FRAME])
        return TalkReport(
            out=str(out),
            frames=num_frames,
            seconds=num_frames / VIDEO_FPS,
            size=self.size,
            level=float(code.level[0]),
            run=self.run.id,
            stand_ins=self.stand_ins(),
        )

    @torch.no_grad()
    def frames(
        self, source: Reference, mfcc: Tensor, code: EmotionCode, hef_code: EmotionCode
    ) -> Iterator[UInt8[np.ndarray, "t r r 3"]]:
        """Frames of the speech [t, 28, 13] in pieces of `CHUNK` (the last may be shorter), RGB."""
        coefficients = source.coefficients.to(self.device)[None]
        placement = source.placement.to(self.device)[None]
        pieces = stream(self.pipeline.eac.network, mfcc.to(self.device).split(CHUNK), code, coefficients[:, IDENTITY])
        for expression in rechunk(pieces, CHUNK):
            still = coefficients.expand(len(expression), -1)
            driven = driving(still, coefficients, expression)
            talking = self.pipeline.draw(source, driven, placement.expand(len(expression), -1), hef_code)
            pixels = ((talking.frames + 1) * 127.5).round().clamp(0, 255).byte()
            yield pixels.permute(0, 2, 3, 1).cpu().numpy()

    def stand_ins(self) -> list[str]:
        """What in the run replaces real data or real weights."""
        notes = []
        if self.run.config.world.fills_store:
            notes.append("trained on the toy world, not on MEAD")
        if "clip" in self.run.parents["eac"].parents["ame"].parents:
            notes.append("emotion space from a tiny CLIP stand-in, not from CLIP")
        return notes


def rechunk(pieces: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in pieces of exactly `size`, but for the last."""
    waiting: Tensor | None = None
    for piece in pieces:
        waiting = piece if waiting is None else torch.cat([waiting, piece])
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if waiting is not None and len(waiting):
        yield waiting
