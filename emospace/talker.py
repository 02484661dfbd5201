"""`Talker`: portrait + speech + emotion -> a talking face, from the modules of one finished run."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from conventions.errors import UserError
from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from datamodules.mead import Reference
from datamodules.speech import SpeechPiece, speech_frames, speech_pieces
from datamodules.video_writer import VideoWriter
from emospace.emotion_input import emotion_code
from emospace.portrait import read_portrait
from emospace.pose import STILL, HeadPose, read_pose
from experiments.evaluate import load_pipeline
from experiments.readback import read_run
from experiments.rundir import RunFolder, list_runs
from experiments.samples import as_pictures
from experiments.stages import Networks, device_of
from face3d.coefficients import IDENTITY
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.streaming import stream
from lightning_modules.pipeline import CHUNK, Pipeline, driving


@dataclass(frozen=True)
class TalkReport:
    """What a talking face was made from."""

    out: str
    portrait: str
    pose: str
    """`still`, or the file that moved the head."""
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
        self.pipeline = load_pipeline(run, Networks(folder.path.parent), self.device)
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
        pose: str | Path = STILL,
        weights: Path | None = None,
    ) -> TalkReport:
        """Write the mp4 `out`: the portrait's face speaking `audio` with `emotion`.

        `emotion` is a text, an image file or a sound file; `level` in 0..3 overrides its intensity; `pose` is `still`,
        a driving clip or a `.mat` (see `read_pose`); `weights` is the folder of face_landmarker.task, needed when no
        `.mat` lies beside the portrait or the clip. Memory does not grow with the length of the speech.
        """
        [report] = self.talk_all([(portrait, out)], audio, emotion, level=level, pose=pose, weights=weights)
        return report

    def talk_all(
        self,
        portraits: Iterable[tuple[Path, Path]],
        audio: Path,
        emotion: str,
        *,
        level: float | None = None,
        pose: str | Path = STILL,
        weights: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[TalkReport]:
        """`talk` for several pairs of portrait and mp4; all that is given is read before the first frame is drawn.

        Identity is an input of EAC, so that each portrait has its own expression of the speech.
        `progress` is told the frames done and all that are to be drawn.
        """
        code = emotion_code(self.pipeline.encoder, emotion, level)
        hef_code = emotion_code(self.pipeline.hef_encoder, emotion, level)
        num_frames = speech_frames(audio)
        if num_frames == 0:
            raise UserError(f"{audio}: is shorter than one video frame (40 ms)")
        head = read_pose(pose, self.face_model, num_frames, weights)
        cast = [(path, read_portrait(path, self.face_model, self.size, weights), out) for path, out in portraits]
        reports = []
        for path, source, out in cast:
            with VideoWriter(out, self.size, self.size, sample_rate=SAMPLE_RATE) as writer:
                mfcc = _heard(speech_pieces(audio, CHUNK), writer)
                for drawn, frames in enumerate(animate(self.pipeline, source, mfcc, (code, hef_code), head)):
                    writer.add_frames(frames)
                    if progress:
                        progress(len(reports) * num_frames + drawn * CHUNK + len(frames), len(cast) * num_frames)
            reports.append(self._report(path, out, num_frames, float(code.level[0]), pose))
        return reports

    def _report(self, portrait: Path, out: Path, frames: int, level: float, pose: str | Path) -> TalkReport:
        return TalkReport(
            out=str(out),
            portrait=str(portrait),
            pose=str(pose),
            frames=frames,
            seconds=frames / VIDEO_FPS,
            size=self.size,
            level=level,
            run=self.run.id,
            stand_ins=self.stand_ins(),
        )

    def stand_ins(self) -> list[str]:
        """What in the run replaces real data or real weights."""
        notes = []
        if self.run.config.world.fills_store:
            notes.append("trained on the toy world, not on MEAD")
        if "clip" in self.run.parents["eac"].parents["ame"].parents:
            notes.append("emotion space from a tiny CLIP stand-in, not from CLIP")
        return notes


def _heard(pieces: Iterable[SpeechPiece], writer: VideoWriter) -> Iterator[Tensor]:
    """MFCC windows of the pieces; the sound of each goes into the video as it is heard."""
    for piece in pieces:
        writer.add_audio(piece.waveform)
        yield torch.from_numpy(piece.mfcc)


@torch.no_grad()
def animate(
    pipeline: Pipeline,
    source: Reference,
    mfcc: Iterable[Float[Tensor, "_ 28 13"]],
    codes: tuple[EmotionCode, EmotionCode],
    head: HeadPose,
) -> Iterator[UInt8[np.ndarray, "t r r 3"]]:
    """RGB frames of a portrait that speaks, in pieces of `CHUNK` (the last may be shorter).

    `mfcc` is the speech in pieces of any length and `codes` the emotion for EAC and HEF. Frames come as the speech is
    heard: nothing is kept but what EAC looks back on.
    """
    device, portrait, start = pipeline.eac.device, pipeline.encode(source), 0
    identity = source.coefficients.to(device)[None]
    pieces = stream(pipeline.eac.network, (piece.to(device) for piece in mfcc), codes[0], identity[:, IDENTITY])
    for expression in rechunk(pieces, CHUNK):
        count = len(expression)
        moved, places = (part.to(device) for part in head.drive(source, start, count))
        made = pipeline.hef.drive(portrait, driving(moved, identity, expression), places, codes[1].repeat(count))
        yield as_pictures(made.image)
        start += count


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
