"""Prepare raw clips as a packed store: 25 fps, 16 kHz, one crop, audio features, 3DMM coefficients. Resumable."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.pool import TASK_LIMIT_S
from emospace.commands.output import add_json, print_json, progress

if TYPE_CHECKING:
    from datamodules.prepare import Progress
    from datamodules.prepare_report import Done

EXAMPLE = "emospace prepare MEAD/ store/ --coefficients landmarks --workers 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace prepare`."""
    parser.add_argument("raw", metavar="RAW", type=Path, help="folder of raw clips")
    parser.add_argument("store", metavar="STORE", type=Path, help="store to write or to complete")
    parser.add_argument(
        "--coefficients",
        choices=["auto", "mat", "landmarks", "deep3d"],
        default="auto",
        help="source of the 3DMM coefficients: a .mat beside the clip, a fit to landmarks, or Deep3DFaceRecon; auto "
        "(default): a .mat beside the clip, else a fit to landmarks",
    )
    parser.add_argument("--size", type=int, default=256, help="side of the stored crops in pixels (default 256)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2); any number gives the same bytes")
    parser.add_argument(
        "--clip-seconds",
        metavar="S",
        type=float,
        default=TASK_LIMIT_S,
        help=f"time limit for one clip; slower clips are left out as timed_out (default {TASK_LIMIT_S:.0f})",
    )
    parser.add_argument("--again", action="store_true", help="retry clips that timed out, crashed or failed")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")
    parser.add_argument(
        "--deep3d", metavar="PATH", type=Path, help="checkpoint of Deep3DFaceRecon (default: epoch_20.pth in --weights)"
    )
    parser.add_argument(
        "--face-model",
        metavar="PATH",
        type=Path,
        help="model that --coefficients landmarks fits: ICT-FaceKit (.npz, or its folder) or BFM_model_front.mat; "
        "default: the procedural head, which needs no file",
    )
    parser.add_argument(
        "--naming",
        default="auto",
        help="how labels are read from paths: auto (default: RAW/manifest.csv, then data sets known by their names), "
        "plain (no labels), manifest, FILE.csv, mead, crema_d, ravdess, hdtf, voxceleb2, celebv_hq, emotion_folders, "
        "or module:function",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE.yaml",
        type=Path,
        help="emotions by other words, such as 'calm: neutral' or 'fearful: fear'",
    )
    parser.add_argument(
        "--progress", choices=["text", "json"], default="text", help="how progress is written to stderr"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prepare; print counts, and the reasons of clips that were left out."""
    from conventions.errors import UserError
    from datamodules.prepare import prepare

    for name, value in (("--workers", options.workers), ("--clip-seconds", options.clip_seconds)):
        if not value > 0:
            raise UserError(f"{name} {value:g}: must be more than 0")
    report = prepare(
        options.raw,
        options.store,
        coefficients=options.coefficients,
        size=options.size,
        workers=options.workers,
        limit_s=options.clip_seconds,
        again=options.again,
        weights=options.weights,
        deep3d=options.deep3d,
        face_model=options.face_model,
        naming=options.naming,
        labels=options.labels,
        progress=_shown(options.progress == "json"),
    )
    if options.json:
        print_json(report.as_dict())
    else:
        print(report.text())
    return 0


def _shown(as_json: bool) -> "Progress":
    """Progress with rates, the time left and the split of the work; a line of JSON for each clip, or for a reader."""
    show = progress("prepare")

    def write(done: "Done") -> None:
        if as_json:
            print(json.dumps(done.as_dict()), file=sys.stderr, flush=True)
        else:
            show(done.clips, done.total, done.text())

    return write
