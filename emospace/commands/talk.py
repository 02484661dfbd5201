"""Make a talking face: a portrait, a speech recording, and an emotion given as text, image file or audio file.

The video shows the whole portrait at its own size, up to 2160 pixels; with --crop, the square of the face. Its audio is
the recording. One call can animate several portraits. An emotion may change over time:
--emotion "0:calm 3.2:very happy 6:sad" (seconds).
"""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from conventions.errors import EXIT_FAILURE, UserError
from emospace.commands.output import add_json, add_runs, print_json, progress

if TYPE_CHECKING:
    from emospace.talker import Refusal, Talker, TalkReport, VideoSettings

EXAMPLE = 'emospace talk --portrait me.png --audio speech.wav --emotion "quietly happy" --out me.mp4'

FILMS = (".mp4", ".mov", ".webm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace talk`."""
    parser.add_argument("--portrait", type=Path, required=True, nargs="+", help="image files, each with one face")
    parser.add_argument("--audio", type=Path, required=True, help="speech: an audio or video file")
    parser.add_argument(
        "--emotion",
        required=True,
        help="text, an image file, an audio file, a mixture of two (70%% happy + 30%% sad), or a schedule of these",
    )
    parser.add_argument("--level", type=float, help="intensity 0..3 (default: the intensity token of the emotion)")
    parser.add_argument(
        "--out",
        type=Path,
        help="video to write: .mp4, .mov or .webm (default talk.mp4); for several portraits a folder (default talk) "
        "with one mp4 each; mov and webm keep a portrait's transparency",
    )
    add_settings(parser)
    add_model(parser)
    parser.add_argument("--strict", action="store_true", help="make nothing if any portrait cannot be used")
    add_json(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """What the video shows, and the motion beside the speech."""
    parser.add_argument("--crop", action="store_true", help="show the square of the face, not the whole portrait")
    parser.add_argument("--size", type=int, help="longer side of the video in pixels (default: that of the portrait)")
    parser.add_argument(
        "--pose",
        default="natural",
        help="head motion: natural (default: follows the speech rhythm), still, a video of one face (its .mat is read, "
        "or its face is tracked), or a .mat (coeff and transform_params, 25 rows per second)",
    )
    parser.add_argument("--no-blinks", action="store_true", help="add no blinks")
    parser.add_argument("--no-gaze", action="store_true", help="add no eye movements")
    parser.add_argument("--seed", type=int, default=0, help="seed of blinks, gaze and natural head motion (default 0)")
    parser.add_argument("--render", action="store_true", help="also write the driven 3D face: me.mp4, me.render.mp4")
    parser.add_argument("--background", default="#ffffff", help="colour behind a transparent portrait (default white)")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which networks are used."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, help="model file written by `emospace export`")
    which.add_argument("--run", dest="run_id", help="finished run of stage evaluate or hef")
    which.add_argument("--preset", help="use the finished run of this experiment, such as toy")
    parser.add_argument("--face-model", type=Path, help="file of the face model, if the networks need one")
    add_runs(parser)


def talker_of(options: argparse.Namespace) -> "Talker":
    """The networks of the options; else the model in the package, else the only finished run that fits."""
    from emospace.talker import Talker, model_in_the_box
    from emospace.talking.from_run import find_run

    box = None if options.run_id or options.preset else model_in_the_box()
    if path := options.model or box:
        return Talker.from_file(path, device(), options.face_model)
    folder = find_run(options.runs, options.run_id, options.preset)
    if options.run_id is None:
        print(f"networks of run {folder.id}", file=sys.stderr)
    return Talker.from_run(folder.path, device(), options.face_model)


def device() -> str:
    """Where networks run: on a GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settings_of(options: argparse.Namespace) -> "VideoSettings":
    """The settings of the video, from the options."""
    from PIL import ImageColor

    from emospace.talker import VideoSettings
    from emospace.talking.portrait import Frame

    try:
        red, green, blue = ImageColor.getcolor(options.background, "RGB")[:3]  # pyright: ignore[reportIndexIssue]
    except ValueError as error:
        raise UserError(f"background: {options.background!r} is not a colour, such as #ffffff or grey") from error
    return VideoSettings(
        frame=Frame(options.crop, options.size),
        pose=options.pose,
        blinks=not options.no_blinks,
        gaze=not options.no_gaze,
        seed=options.seed,
        render=options.render,
        background=(red, green, blue),
        weights=options.weights,
    )


def targets(portraits: list[Path], out: Path | None) -> list[Path]:
    """The video of each portrait: `out` for one; in the folder `out`, named after the portraits, for several."""
    if len(portraits) == 1:
        target = out or Path("talk.mp4")
        if target.is_dir():
            raise UserError(f"out: {target}: is a folder; give the path of a video file")
        check_video(target)
        return [target]
    folder = out or Path("talk")
    if folder.is_file() or folder.suffix.lower() in FILMS:
        raise UserError(f"out: {folder}: is a file, but there are {len(portraits)} portraits; give a folder")
    names = [portrait.stem for portrait in portraits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"portrait: more than one of the {len(portraits)} portraits is called {twice[0]}; rename one")
    made = [folder / f"{name}.mp4" for name in names]
    check_video(made[0])
    return made


def check_video(path: Path) -> None:
    """UserError for an unsupported suffix, or where no file can be written."""
    if path.suffix.lower() not in FILMS:
        raise UserError(f"out: {path}: unsupported suffix; the file must end in {', '.join(FILMS)}")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise UserError(f"out: {path}: {above} is a file, not a folder")


def spare_inputs(made: list[Path], options: argparse.Namespace) -> None:
    """UserError where a video would overwrite one of its inputs."""
    given = {Path(path).resolve() for path in (*options.portrait, options.audio, options.emotion, options.pose)}
    for path in made:
        if path.resolve() in given:
            raise UserError(f"out: {path}: would overwrite an input; give another path")


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block by an exception, so that unfinished files are removed."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(options: argparse.Namespace) -> int:
    """Write the videos; print what they were made from."""
    made = targets(options.portrait, options.out)
    spare_inputs(made, options)
    if options.render:
        from emospace.talker import render_path

        spare_inputs([render_path(path) for path in made], options)
    from emospace.talking.emotion import modality_of, parse_schedule, parts_of

    for cue in parse_schedule(options.emotion):
        for emotion, _ in parts_of(cue.emotion):
            modality_of(emotion)
    settings = settings_of(options)
    from lightning_modules.training.memory import keep_freed_memory

    keep_freed_memory()
    with ending_cleanly():
        results = talker_of(options).talk_all(
            list(zip(options.portrait, made, strict=True)),
            options.audio,
            options.emotion,
            level=options.level,
            settings=settings,
            strict=options.strict or len(made) == 1,
            progress=progress("frames"),
        )
    return _tell(results, options.json)


def _tell(results: "Sequence[TalkReport | Refusal]", as_json: bool) -> int:
    from emospace.talker import Refusal

    refused = [result for result in results if isinstance(result, Refusal)]
    if as_json:
        print_json(asdict(results[0]) if len(results) == 1 else [asdict(result) for result in results])
    else:
        for result in results:
            if not isinstance(result, Refusal):
                print(_line(result))
        _tell_model(results)
    for result in refused:
        print(f"emospace talk: left out: {result.reason}", file=sys.stderr)
    return EXIT_FAILURE if refused else 0


def _line(report: "TalkReport") -> str:
    facts = f"{report.frames} frames, {report.seconds:.2f} s, {report.width} x {report.height} px"
    emotions = "; ".join(f"{e['emotion']} ({e['modality']}, intensity {e['level']:.1f})" for e in report.emotions)
    return f"{report.out}: {facts}; {emotions}"


def _tell_model(results: "Sequence[TalkReport | Refusal]") -> None:
    from emospace.talker import TalkReport

    if report := next((result for result in results if isinstance(result, TalkReport)), None):
        print(f"model: {report.model}")
        for note in report.stand_ins:
            print(f"stand-in: {note}")
