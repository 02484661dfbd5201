"""Make a talking face: one portrait, one speech recording, and an emotion given as text, image file or sound file."""

import argparse
from dataclasses import asdict
from pathlib import Path

from emospace.commands.output import add_json, add_runs, print_json

EXAMPLE = 'emospace talk --portrait me.png --audio speech.wav --emotion "quietly happy" --out me.mp4'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace talk`."""
    parser.add_argument("--portrait", type=Path, required=True, help="picture that shows one face")
    parser.add_argument("--audio", type=Path, required=True, help="speech: wav, m4a, mp3 or mp4")
    parser.add_argument("--emotion", required=True, help="words, an image file or a sound file")
    parser.add_argument("--level", type=float, help="intensity 0..3; by default read from the emotion")
    parser.add_argument("--out", type=Path, default=Path("talk.mp4"), help="mp4 to write (default talk.mp4)")
    parser.add_argument("--run", dest="run_id", help="finished evaluate run; by default the newest full one")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the video; say what it was made from."""
    from emospace.emotion_input import modality_of

    modality_of(options.emotion)
    from emospace.talker import Talker, newest_run
    from experiments.rundir import RunFolder

    folder = RunFolder(options.runs / options.run_id) if options.run_id else newest_run(options.runs)
    report = Talker(folder).talk(
        options.portrait,
        options.audio,
        options.emotion,
        options.out,
        level=options.level,
        weights=options.weights,
    )
    if options.json:
        print_json(asdict(report))
        return 0
    print(
        f"{report.out}: {report.frames} frames, {report.seconds:.2f} s, {report.size} px, intensity {report.level:.1f}"
    )
    for note in report.stand_ins:
        print(f"stand-in: {note}")
    return 0
