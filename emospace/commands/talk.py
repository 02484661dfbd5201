"""Make a talking face: a portrait, a speech recording, and an emotion given as text, image file or sound file.

The film shows the whole portrait at its own size, up to 2160 pixels; with --crop, the square of the face. The speech is
kept as it is. Several portraits speak the same in one call. An emotion may change while the face talks:
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
    from emospace.talker import FilmSettings, Refusal, Talker, TalkReport

EXAMPLE = 'emospace talk --portrait me.png --audio speech.wav --emotion "quietly happy" --out me.mp4'

FILMS = (".mp4", ".mov", ".webm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace talk`."""
    parser.add_argument("--portrait", type=Path, required=True, nargs="+", help="pictures that show one face each")
    parser.add_argument("--audio", type=Path, required=True, help="speech: any sound or video file")
    parser.add_argument(
        "--emotion",
        required=True,
        help="words, an image file, a sound file, a mixture of two (70%% happy + 30%% sad), or a schedule of these",
    )
    parser.add_argument("--level", type=float, help="intensity 0..3; by default read from the emotion")
    parser.add_argument(
        "--out",
        type=Path,
        help="mp4, mov or webm to write (default talk.mp4); for several portraits a folder (default talk), "
        "one mp4 each by its name; mov and webm keep a portrait's transparency",
    )
    add_settings(parser)
    add_model(parser)
    parser.add_argument("--strict", action="store_true", help="stop before the first frame where a portrait is bad")
    add_json(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """What is filmed, and what is added to the speech."""
    parser.add_argument("--crop", action="store_true", help="film the square of the face, not the whole portrait")
    parser.add_argument("--size", type=int, help="pixels of the film's longer side; by default the portrait's own")
    parser.add_argument(
        "--pose",
        default="natural",
        help="head motion: natural (default: from the speech's rhythm), still, a video of one face (the .mat beside it "
        "is read, or its face is tracked), or a .mat (coeff and transform_params, 25 rows a second)",
    )
    parser.add_argument("--no-blinks", action="store_true", help="no blinks beside the expression of the speech")
    parser.add_argument("--no-gaze", action="store_true", help="no small turns of the eyes")
    parser.add_argument("--seed", type=int, default=0, help="of blinks, gaze and natural motion (default 0)")
    parser.add_argument("--render", action="store_true", help="also write the driven 3D face: me.mp4, me.render.mp4")
    parser.add_argument("--background", default="#ffffff", help="colour behind a transparent portrait")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which networks talk."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, help="model file that `emospace export` wrote")
    which.add_argument("--run", dest="run_id", help="finished run of stage evaluate or hef")
    which.add_argument("--preset", help="the finished run of this experiment, such as toy")
    parser.add_argument("--face-model", type=Path, help="your own copy of the face model, where the networks need one")
    add_runs(parser)


def talker_of(options: argparse.Namespace) -> "Talker":
    """The networks that are asked for; else the model in the package, else the one finished run that can talk."""
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
    """Where networks run: a GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settings_of(options: argparse.Namespace) -> "FilmSettings":
    """What is filmed, from the options."""
    from PIL import ImageColor

    from emospace.talker import FilmSettings
    from emospace.talking.portrait import Frame

    try:
        red, green, blue = ImageColor.getcolor(options.background, "RGB")[:3]  # pyright: ignore[reportIndexIssue]
    except ValueError as error:
        raise UserError(f"background: {options.background!r} is no colour; give one such as #ffffff or grey") from error
    return FilmSettings(
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
    """The film of each portrait: `out` for one; in the folder `out`, named after the portraits, for several."""
    if len(portraits) == 1:
        target = out or Path("talk.mp4")
        if target.is_dir():
            raise UserError(f"out: {target}: is a folder; give the film to write")
        check_film(target)
        return [target]
    folder = out or Path("talk")
    if folder.is_file() or folder.suffix.lower() in FILMS:
        raise UserError(f"out: {folder}: is one file for {len(portraits)} portraits; give a folder")
    names = [portrait.stem for portrait in portraits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"portrait: {len(portraits)} portraits, but more than one is called {twice[0]}; rename one")
    made = [folder / f"{name}.mp4" for name in names]
    check_film(made[0])
    return made


def check_film(path: Path) -> None:
    """UserError where the suffix names no film that can be written, or where no file can be put."""
    if path.suffix.lower() not in FILMS:
        raise UserError(f"out: {path}: cannot be written; give a file that ends in {', '.join(FILMS)}")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise UserError(f"out: {path}: {above} is a file, not a folder")


def spare_inputs(made: list[Path], options: argparse.Namespace) -> None:
    """UserError where a film would take the place of what it is made from."""
    given = {Path(path).resolve() for path in (*options.portrait, options.audio, options.emotion, options.pose)}
    for path in made:
        if path.resolve() in given:
            raise UserError(f"out: {path}: would overwrite an input; give another place")


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
    """Write the films; say what they were made from."""
    made = targets(options.portrait, options.out)
    spare_inputs(made, options)
    if options.render:
        from emospace.talker import render_path

        spare_inputs([render_path(path) for path in made], options)
    from emospace.talking.emotion import modality_of, parts_of
    from emospace.talking.schedule import parse_schedule

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
