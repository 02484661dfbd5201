"""Write runs, curves, tables, pictures and videos as one static page that needs no network."""

import argparse
from pathlib import Path

from emospace.commands.output import add_runs

EXAMPLE = "emospace report work/report.html --table 3 --preset demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace report`."""
    parser.add_argument("out", metavar="OUT.html", type=Path)
    parser.add_argument("--table", nargs="*", default=["3"], help="tables to show (default 3)")
    parser.add_argument("--preset", default="toy", help="experiment whose runs fill the tables (default toy)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="mp4 files to show first")
    parser.add_argument("--figure", type=Path, nargs="*", default=[], help="png or jpg files to show, such as figures")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from ablations.tables import build_table
    from conventions.errors import UserError
    from emospace.report.page import write_report
    from emospace.report.runs import MIME

    if not options.runs.is_dir():
        raise UserError(f"{options.runs}: no such folder of runs; `emospace run toy` makes one")
    for path in [*options.video, *options.figure]:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        if path.suffix not in (MIME if path in options.figure else {".mp4"}):
            raise UserError(f"{path}: cannot be shown; a video is mp4, a figure png or jpg")
    tables = [build_table(name, options.runs, options.preset, options.seeds) for name in options.table]
    videos = [(video.stem, video) for video in options.video]
    write_report(options.out, options.runs, tables, videos, options.figure)
    print(options.out)
    return 0
