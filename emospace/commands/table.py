"""Print a table from finished runs, our values beside the paper's; `--run` first executes missing runs.

TABLE is 1, 3, unseen, engineering or demo, a YAML file, or a sweep (its name or YAML file), whose runs are listed best
first by its metric.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from conventions.errors import UserError
from emospace.commands.output import add_runs, print_json

if TYPE_CHECKING:
    from ablations.tables import Asked

EXAMPLE = "emospace table 3 --preset toy --seeds 0 1 2 3 4 --run"
FORMATS = ("md", "latex", "csv", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace table`."""
    parser.add_argument("table", metavar="TABLE", help="name of a table or sweep, or a YAML file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="config keys of the runs")
    parser.add_argument("--preset", help="experiment whose runs fill the table (default: the table's own, else toy)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of the runs (default: the table's own, else 0)")
    scored = "other methods: folders that emospace score --out wrote, or their parent"
    parser.add_argument("--scored", metavar="DIR", type=Path, nargs="+", default=[], help=scored)
    published = "also list values that other papers report on MEAD, below the table"
    parser.add_argument("--with-published", action="store_true", help=published)
    parser.add_argument("--run", dest="run_missing", action="store_true", help="first execute missing runs")
    parser.add_argument("--slots", type=int, default=1, help="concurrent runs with --run (default 1)")
    parser.add_argument("--format", choices=FORMATS, default="md", help="output format (default md)")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table; with --run, the exit code is that of the runs."""
    from emospace.sweeps import is_sweep

    return _sweep(options) if is_sweep(options.table) else _table(options)


def _sweep(options: argparse.Namespace) -> int:
    from emospace.sweeps import table_of_sweep

    foreign = {"--preset": options.preset, "--seeds": options.seeds, "--scored": options.scored}
    foreign |= {"--run": options.run_missing, "--with-published": options.with_published}
    for name, given in {**foreign, "key=value": options.overrides}.items():
        if given:
            raise UserError(f"{name}: has no effect on a sweep; `emospace sweep {options.table}` runs what it names")
    table = table_of_sweep(options.table, options.runs)
    if options.format == "json":
        print_json(table.json())
    else:
        print({"md": table.markdown, "latex": table.latex, "csv": table.csv}[options.format](), end="")
    return 0


def _table(options: argparse.Namespace) -> int:
    from ablations import formats
    from ablations.others import published_json, published_markdown, read_published, with_scored
    from ablations.scored import read_scored
    from ablations.tables import ask, build_table

    scored = read_scored(options.scored)
    chosen = (options.preset, options.seeds, options.overrides)
    code = _run_missing(options, ask(options.table, *chosen)) if options.run_missing else 0
    table = with_scored(build_table(options.table, options.runs, *chosen), scored)
    published = read_published() if options.with_published else ()
    if options.format == "json":
        extra = {"published": published_json(published)} if published else {}
        print_json({**formats.json_document(table), **extra})
        return code
    write = {"md": formats.markdown, "latex": formats.latex, "csv": formats.csv}[options.format]
    print(write(table))
    if published:
        print(published_markdown(published), file=sys.stdout if options.format == "md" else sys.stderr)
    return code


def _run_missing(options: argparse.Namespace, asked: "Asked") -> int:
    from emospace.sweeps import check_points, read_points
    from experiments.launchers import local_launcher, run_sweep, run_variables
    from experiments.sweep import Sweep

    jobs = asked.missing(options.runs)
    if not jobs:
        return 0
    name = f"table-{asked.table.name}"
    points = read_points(Sweep(name, tuple(jobs)), options.runs)
    check_points(points)
    launcher = local_launcher(options.slots, lambda job: points[job].state(), run_variables(options.runs))
    code, reports = run_sweep(jobs, options.runs / ".logs" / name, launcher)
    for report in reports:
        if report.state != "done":
            print(f"{report.job.label}: {report.state}: {report.reason or 'not started'}", file=sys.stderr)
    return code
