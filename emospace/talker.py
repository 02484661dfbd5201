"""`Talker`: portrait + speech + emotion -> a talking face, with the networks of a run or of a model file."""

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from datamodules.pictures import BACKGROUND
from datamodules.speech import MARGIN, pieces_of, speech_frames, speech_pieces
from datamodules.speech_loading import feature_of
from datamodules.video_writer import VideoWriter, video_form
from emospace.talking.drawing import RENDERED, Canvas, DrivenFace, Speech, perform
from emospace.talking.emotion import Cue, EmotionTrack, parse_schedule
from emospace.talking.model_file import TalkingModel, build, read_model
from emospace.talking.motion import Liveliness, Motion
from emospace.talking.portrait import Frame, Portrait, read_portrait
from emospace.talking.pose import NATURAL, read_pose
from lightning_modules.pipeline import CHUNK

BOX = "default.emospace"
"""The model file in the package's folder `models`."""

STREAMED = 2
"""Frames that `Talker.frames` draws at once."""


@dataclass(frozen=True)
class VideoSettings:
    """What the video shows of a portrait, and what is added to the speech."""

    frame: Frame = field(default_factory=Frame)
    """Part of the portrait that the video shows, and its size."""
    pose: str | Path = NATURAL
    """Motion of the head: `natural`, `still`, a driving clip or a `.mat` (see `read_pose`)."""
    blinks: bool = True
    """Whether the eyes blink."""
    gaze: bool = True
    """Whether the gaze moves."""
    seed: int = 0
    """Seed of blinks, gaze and natural motion."""
    render: bool = False
    """Whether to write a second, silent video of the driven 3D face (`render_path`)."""
    background: tuple[int, int, int] = BACKGROUND
    """RGB behind a transparent portrait, where the video format has no transparency."""
    weights: Path | None = None
    """Folder of face_landmarker.task, needed where no `.mat` is beside the portrait or the driving clip."""


@dataclass(frozen=True)
class TalkReport:
    """What a video was made from."""

    out: str
    """The video file."""
    portrait: str
    """The image file."""
    pose: str
    """`natural`, `still`, or the file that moved the head."""
    frames: int
    """Number of frames."""
    seconds: float
    """Length of the video."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    emotions: list[dict[str, str | float]]
    """For each emotion of the schedule: second, emotion, modality and level, 0 (none) .. 3."""
    model: str
    """The run or the file of the networks."""
    stand_ins: list[str]
    """Why the quality does not compare with the paper's; empty for weights trained on real data."""


@dataclass(frozen=True)
class Refusal:
    """A portrait that was left out, and why."""

    portrait: str
    reason: str


class Talker:
    """Makes videos of talking faces with one AME, EAC and HEF.

    Args:
        model: the networks, as `from_file` and `from_run` read them.
        device: where the networks run.

    Examples:
        >>> talker = Talker.from_file(Path("model.emospace"))  # doctest: +SKIP
        >>> talker.talk(Path("me.png"), Path("speech.wav"), "quietly happy", Path("out.mp4")).frames  # doctest: +SKIP
        87
    """

    def __init__(self, model: TalkingModel, device: torch.device | str = "cpu") -> None:
        self.model, self.device = model, torch.device(device)
        pipeline = model.pipeline
        for module in (pipeline.encoder, pipeline.hef_encoder, pipeline.eac, pipeline.hef):
            module.to(self.device)
        self.pipeline, self.resolution = pipeline, pipeline.hef.config.resolution
        self.face_model = pipeline.hef.renderer.model.to("cpu")
        self.feature = feature_of(pipeline.eac.config.speech)

    @classmethod
    def from_file(cls, path: Path, device: torch.device | str = "cpu", face_model: Path | None = None) -> "Talker":
        """A talker from a model file.

        Args:
            path: file that `emospace export` wrote.
            device: where the networks run.
            face_model: your copy of the face model's file, where the networks need one.

        Returns:
            The talker.

        Raises:
            UserError: the file cannot be read, or a file that it needs is missing.
        """
        return cls(build(read_model(path), str(path), face_model), device)

    @classmethod
    def from_run(cls, folder: Path, device: torch.device | str = "cpu", face_model: Path | None = None) -> "Talker":
        """A talker from a finished run.

        Args:
            folder: run folder of stage evaluate or hef.
            device: where the networks run.
            face_model: your copy of the face model's file, where the networks need one.

        Returns:
            The talker.

        Raises:
            UserError: the run is not finished, is of another stage, or a file that it needs is missing.
        """
        from emospace.talking.from_run import parts_of
        from experiments.rundir import RunFolder

        return cls(build(parts_of(RunFolder(folder)), f"run {folder.name}", face_model), device)

    @property
    def latency_ms(self) -> int:
        """Milliseconds of speech beyond the end of a frame that `frames` needs before it yields the frame."""
        ahead = self.pipeline.eac.network.look_ahead + max(MARGIN, self.feature.look_ahead) + (STREAMED - 1)
        return round(ahead * 1000 / VIDEO_FPS)

    def talk(
        self,
        portrait: Path,
        audio: Path,
        emotion: str,
        out: Path,
        *,
        level: float | None = None,
        settings: VideoSettings | None = None,
    ) -> TalkReport:
        """Write a video: the portrait speaks with an emotion. Memory does not grow with the length of the speech.

        Args:
            portrait: image file.
            audio: audio file of the speech.
            emotion: a text, an image file, an audio file, or a schedule of these (`0:calm 3.2:very happy`).
            out: video file to write: mp4, mov or webm.
            level: intensity in 0..3 in place of the emotion's own.
            settings: framing, head motion and further options.

        Returns:
            What the video was made from.

        Raises:
            UserError: a file or the emotion cannot be used.
        """
        [report] = self.talk_all([(portrait, out)], audio, emotion, level=level, settings=settings, strict=True)
        assert isinstance(report, TalkReport)
        return report

    def talk_all(
        self,
        portraits: Iterable[tuple[Path, Path]],
        audio: Path,
        emotion: str,
        *,
        level: float | None = None,
        settings: VideoSettings | None = None,
        strict: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Sequence[TalkReport | Refusal]:
        """Write several videos with the same speech and emotion; all inputs are read before the first frame is drawn.

        Args:
            portraits: pairs of image file and video file to write.
            audio: audio file of the speech.
            emotion: a text, an image file, an audio file, or a schedule of these (`0:calm 3.2:very happy`).
            level: intensity in 0..3 in place of the emotion's own.
            settings: framing, head motion and further options.
            strict: whether a portrait that cannot be read is an error.
            progress: called with frames done and all frames.

        Returns:
            One report for each pair; a `Refusal` in place of a portrait that cannot be read.

        Raises:
            UserError: the audio or the emotion cannot be used, or with `strict` a portrait.
        """
        settings = settings or VideoSettings()
        cues, tracks = self._tracks(emotion, level)
        num_frames = speech_frames(audio)
        if num_frames == 0:
            raise UserError(f"{audio}: is shorter than one video frame (40 ms)")
        lively = self._liveliness(settings, num_frames)
        cast = [(path, self._read(path, out, settings, strict), out) for path, out in portraits]
        total, done, reports = num_frames * sum(isinstance(c[1], Portrait) for c in cast), 0, []
        for path, portrait, out in cast:
            if not isinstance(portrait, Portrait):
                reports.append(Refusal(str(path), portrait))
                continue
            with contextlib.closing(self._film(portrait, audio, tracks, lively, out, settings.render)) as film:
                for count in film:
                    done += count
                    if progress:
                        progress(done, total)
            reports.append(self._report(portrait, out, num_frames, settings, cues, tracks[0]))
        return reports

    def frames(
        self,
        portrait: Path | Portrait,
        audio_chunks: Iterable[Float[np.ndarray, " _"]],
        emotion: str,
        *,
        level: float | None = None,
        settings: VideoSettings | None = None,
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Frames at 25 fps while the speech arrives.

        Args:
            portrait: image file, or what `read` returned.
            audio_chunks: 16 kHz mono in [-1, 1], in chunks of any length.
            emotion: a text, an image file, an audio file, or a schedule of these (`0:calm 3.2:very happy`).
            level: intensity in 0..3 in place of the emotion's own.
            settings: framing, head motion and further options.

        Yields:
            RGB frames: each as soon as `latency_ms` of speech beyond it have arrived, the rest when the chunks end.

        Raises:
            UserError: the portrait or the emotion cannot be used.
        """
        settings = settings or VideoSettings()
        _, tracks = self._tracks(emotion, level)
        read = portrait if isinstance(portrait, Portrait) else self.read(portrait, settings)
        speech = map(Speech.of, pieces_of(audio_chunks, 1, self.feature))
        yield from self._frames(read, speech, tracks, self._liveliness(settings, 0), STREAMED)

    def read(self, path: Path, settings: VideoSettings | None = None, alpha: bool = False) -> Portrait:
        """Read and measure a portrait once, for many speeches.

        Args:
            path: image file.
            settings: framing, background and the folder of weights.
            alpha: whether transparency is kept.

        Returns:
            The portrait for `frames`.

        Raises:
            UserError: the file cannot be read, or no face is found.
        """
        settings = settings or VideoSettings()
        return read_portrait(
            path, self.face_model, self.resolution, settings.frame, settings.weights, settings.background, alpha=alpha
        )

    def _read(self, path: Path, out: Path, settings: VideoSettings, strict: bool) -> Portrait | str:
        try:
            return self.read(path, settings, alpha=video_form(out, alpha=True).alpha)
        except UserError as error:
            if strict:
                raise
            return str(error)

    def _tracks(self, emotion: str, level: float | None) -> tuple[list[Cue], tuple[EmotionTrack, EmotionTrack]]:
        cues = parse_schedule(emotion)
        tracks = tuple(EmotionTrack(e, cues, level) for e in (self.pipeline.encoder, self.pipeline.hef_encoder))
        for words in tracks[0].unknown:
            warnings.warn(f"emotion: no word of {words!r} is in this model's vocabulary", stacklevel=3)
        return cues, (tracks[0], tracks[1])

    def _liveliness(self, settings: VideoSettings, num_frames: int) -> Liveliness:
        head = read_pose(settings.pose, self.face_model, num_frames, settings.weights)
        return Liveliness(head, settings.blinks, settings.gaze, settings.seed)

    def _film(
        self,
        portrait: Portrait,
        audio: Path,
        tracks: tuple[EmotionTrack, EmotionTrack],
        lively: Liveliness,
        out: Path,
        render: bool,
    ) -> Generator[int]:
        height, width, channels = portrait.picture.shape
        form = video_form(out, alpha=channels == 4)
        speech = map(Speech.of, speech_pieces(audio, CHUNK, self.feature))
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(VideoWriter(out, height, width, form=form, sound=audio))
            driven = stack.enter_context(self._render_writer(out)) if render else None
            for frame in self._frames(portrait, speech, tracks, lively, CHUNK, driven):
                writer.add_frames(frame[None])
                yield 1

    @contextlib.contextmanager
    def _render_writer(self, out: Path) -> Iterator[DrivenFace]:
        path = render_path(out)
        with VideoWriter(path, RENDERED, RENDERED, form=video_form(path)) as writer:
            yield DrivenFace(self.face_model, writer.add_frames)

    def _frames(
        self,
        portrait: Portrait,
        speech: Iterable[Speech],
        tracks: tuple[EmotionTrack, EmotionTrack],
        lively: Liveliness,
        at_once: int,
        driven: DrivenFace | None = None,
    ) -> Iterator[np.ndarray]:
        canvas = Canvas(self.pipeline, portrait)
        motion = Motion(portrait.reference, self.face_model, lively)
        yield from perform(self.pipeline, canvas, motion, speech, tracks, at_once, driven)

    def _report(
        self,
        portrait: Portrait,
        out: Path,
        frames: int,
        settings: VideoSettings,
        cues: Sequence[Cue],
        track: EmotionTrack,
    ) -> TalkReport:
        height, width = portrait.picture.shape[:2]
        emotions: list[dict[str, str | float]] = [
            {"second": cue.second, "emotion": cue.emotion, "modality": modality, "level": level}
            for cue, modality, level in zip(cues, track.modalities, track.levels, strict=True)
        ]
        return TalkReport(
            out=str(out),
            portrait=str(portrait.path),
            pose=str(settings.pose),
            frames=frames,
            seconds=frames / VIDEO_FPS,
            width=width,
            height=height,
            emotions=emotions,
            model=self.model.origin,
            stand_ins=self.model.stand_ins,
        )


def render_path(film: Path) -> Path:
    """Where the driven 3D face of a video is written: `me.mp4` -> `me.render.mp4`."""
    return film.with_suffix(f".render{film.suffix}")


def model_in_the_box() -> Path | None:
    """The model file that lies in the package; None where it was built without one."""
    path = Path(str(resources.files("emospace"))) / "models" / BOX
    return path if path.is_file() else None
