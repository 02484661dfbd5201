"""Make a talking face: one portrait, one speech recording, and an emotion given as text, image file or sound file.

Several portraits speak the same in one call. The head keeps still, or moves as one in a video or a .mat file does: it
starts as the portrait is, and where the speech is longer than the motion, this goes back and forth.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from conventions.errors import UserError
from emospace.commands.output import add_json, add_runs, print_json, progress

EXAMPLE = 'emospace talk --portrait me.png --audio speech.wav --emotion "quietly happy" --pose clip.mp4 --out me.mp4'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace talk`."""
    parser.add_argument("--portrait", type=Path, required=True, nargs="+", help="pictures that show one face each")
    parser.add_argument("--audio", type=Path, required=True, help="speech: wav, m4a, mp3 or mp4")
    parser.add_argument("--emotion", required=True, help="words, an image file or a sound file")
    parser.add_argument("--level", type=float, help="intensity 0..3; by default read from the emotion")
    parser.add_argument(
        "--pose",
        default="still",
        help="head motion: still (default), a video of one face (the .mat beside it is read, or its face is tracked), "
        "or a .mat (coeff and transform_params, 25 rows a second); shorter than the speech, it goes back and forth",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="mp4 to write (default talk.mp4); for several portraits a folder (default talk), one mp4 each by its name",
    )
    parser.add_argument("--run", dest="run_id", help="finished evaluate run; by default the newest full one")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")
    add_runs(parser)
    add_json(parser)


def targets(portraits: list[Path], out: Path | None) -> list[Path]:
    """The mp4 of each portrait: `out` for one; in the folder `out`, named after the portraits, for several."""
    if len(portraits) == 1:
        target = out or Path("talk.mp4")
        if target.is_dir():
            raise UserError(f"out: {target}: is a folder; give the mp4 to write")
        return [target]
    folder = out or Path("talk")
    if folder.is_file() or folder.suffix.lower() == ".mp4":
        raise UserError(f"out: {folder}: is one file for {len(portraits)} portraits; give a folder")
    names = [portrait.stem for portrait in portraits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"portrait: {len(portraits)} portraits, but more than one is called {twice[0]}; rename one")
    return [folder / f"{name}.mp4" for name in names]


def spare_inputs(made: list[Path], options: argparse.Namespace) -> None:
    """UserError where a video would take the place of what it is made from."""
    given = {Path(path).resolve() for path in (*options.portrait, options.audio, options.emotion, options.pose)}
    for path in made:
        if path.resolve() in given:
            raise UserError(f"out: {path}: would overwrite an input; give another place")


def run(options: argparse.Namespace) -> int:
    """Write the videos; say what they were made from."""
    made = targets(options.portrait, options.out)
    spare_inputs(made, options)
    from emospace.emotion_input import modality_of

    modality_of(options.emotion)
    from emospace.talker import Talker, newest_run
    from experiments.rundir import RunFolder
    from lightning_modules.training.memory import keep_freed_memory

    keep_freed_memory()
    folder = RunFolder(options.runs / options.run_id) if options.run_id else newest_run(options.runs)
    reports = Talker(folder).talk_all(
        zip(options.portrait, made, strict=True),
        options.audio,
        options.emotion,
        level=options.level,
        pose=options.pose,
        weights=options.weights,
        progress=progress("frames"),
    )
    if options.json:
        print_json(asdict(reports[0]) if len(reports) == 1 else [asdict(report) for report in reports])
        return 0
    for report in reports:
        facts = f"{report.frames} frames, {report.seconds:.2f} s, {report.size} px, intensity {report.level:.1f}"
        print(f"{report.out}: {facts}")
    for note in reports[0].stand_ins:
        print(f"stand-in: {note}")
    return 0
