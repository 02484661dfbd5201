"""Write runs, curves, tables, figures and videos as one static HTML page that needs no network."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from conventions.errors import UserError
from emospace.commands.output import add_runs

EXAMPLE = "emospace report work/report.html --table 3 --preset demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace report`."""
    parser.add_argument("out", metavar="OUT.html", type=Path, help="page to write")
    parser.add_argument("--table", nargs="*", help="tables to show, as `emospace table` takes them (default 3)")
    preset = "experiment of the tables (default: the table's own, else toy); no other runs are shown"
    parser.add_argument("--preset", help=preset)
    parser.add_argument("--sweep", nargs="*", default=[], help="sweeps (name or YAML file) to show; no other runs")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of the tables (default: the table's own, else 0)")
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="mp4 files to show first")
    parser.add_argument("--figure", type=Path, nargs="*", default=[], help="png or jpg files to show, such as figures")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from ablations.tables import build_table
    from emospace.report.page import write_report
    from emospace.sweeps import table_of_sweep

    _check(options)
    names = ([] if options.sweep else ["3"]) if options.table is None else options.table
    tables = [build_table(name, options.runs, options.preset, options.seeds) for name in names]
    sweeps, shown = [table_of_sweep(name, options.runs) for name in options.sweep], _shown(options, names)
    videos = [(video.stem, video) for video in options.video]
    write_report(options.out, options.runs, tables, videos, options.figure, sweeps, shown)
    print(options.out)
    return 0


def _check(options: argparse.Namespace) -> None:
    from emospace.report.page import MIME

    if not options.runs.is_dir():
        raise UserError(f"{options.runs}: no such folder; `emospace run toy` makes runs")
    for path in [*options.video, *options.figure]:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        if path.suffix not in (MIME if path in options.figure else {".mp4"}):
            raise UserError(f"{path}: has an unsupported type; a video must be .mp4, a figure .png or .jpg")


def _shown(options: argparse.Namespace, tables: Sequence[str]) -> set[str] | None:
    """Ids of the runs to show: those of the experiment and of the sweeps, where given; None for all."""
    from ablations.tables import ask
    from emospace.report.runs import runs_of_preset, with_ancestors
    from emospace.sweeps import sweep_folders
    from experiments.sweep import expand_sweep

    chosen = []
    if options.preset:
        asked = [ask(name, options.preset, options.seeds) for name in tables]
        chosen.append(runs_of_preset(options.preset, asked, options.runs))
    if options.sweep:
        folders = [sweep_folders(expand_sweep(name), options.runs) for name in options.sweep]
        chosen.append(with_ancestors([folder for one in folders for folder in one]))
    shown = set.intersection(*chosen) if chosen else None
    if shown is not None and not shown:
        asked = [
            *([f"experiment {options.preset}"] if options.preset else []),
            *(f"sweep {one}" for one in options.sweep),
        ]
        raise UserError(f"{options.runs}: contains no run of {' and '.join(asked)}; `emospace status` lists the runs")
    return shown
