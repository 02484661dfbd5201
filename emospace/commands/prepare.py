"""Prepare raw clips into a packed store: 25 fps, 16 kHz, one crop, audio features, 3DMM coefficients. Resumable."""

import argparse
from pathlib import Path

from emospace.commands.output import add_json, print_json, progress

EXAMPLE = "emospace prepare MEAD/ store/ --coefficients landmarks --workers 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace prepare`."""
    parser.add_argument("raw", metavar="RAW", type=Path, help="folder of raw clips")
    parser.add_argument("store", metavar="STORE", type=Path, help="store to write or finish")
    parser.add_argument(
        "--coefficients",
        choices=["auto", "mat", "landmarks", "deep3d"],
        default="auto",
        help="where 3DMM coefficients come from: a .mat beside the clip, a fit to landmarks, or Deep3DFaceRecon's "
        "network; auto: a .mat beside the clip, else a fit to landmarks",
    )
    parser.add_argument("--size", type=int, default=256, help="side of the stored crops in pixels (default 256)")
    parser.add_argument("--workers", type=int, default=2, help="processes; the bytes do not depend on their number")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")
    parser.add_argument(
        "--deep3d", metavar="PATH", type=Path, help="its checkpoint; default: epoch_20.pth in --weights"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prepare; print counts and the reasons of what was left out."""
    from datamodules.prepare import prepare

    report = prepare(
        options.raw,
        options.store,
        coefficients=options.coefficients,
        size=options.size,
        workers=options.workers,
        weights=options.weights,
        deep3d=options.deep3d,
        progress=progress("prepare"),
    )
    if options.json:
        print_json(report.as_dict())
    else:
        print(report.text())
    return 0
