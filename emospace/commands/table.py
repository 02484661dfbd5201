"""A paper table from finished runs, our values beside the paper's; `--run` first runs what is missing."""

import argparse
import sys
from pathlib import Path

from emospace.commands.output import add_runs

EXAMPLE = "emospace table 3 --preset toy --seeds 0 1 2 --run"
FORMATS = ("md", "latex", "csv", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace table`."""
    parser.add_argument("table", metavar="1|3|unseen")
    parser.add_argument("overrides", metavar="key=value", nargs="*")
    parser.add_argument("--preset", default="toy", help="experiment whose runs fill the table (default toy)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    scored = "other methods: folders that emospace score --out wrote, or a folder of such"
    parser.add_argument("--scored", metavar="DIR", type=Path, nargs="+", default=[], help=scored)
    published = "also values that other papers print on MEAD, apart from the table"
    parser.add_argument("--with-published", action="store_true", help=published)
    parser.add_argument("--run", dest="run_missing", action="store_true", help="first run what is missing")
    parser.add_argument("--slots", type=int, default=1, help="runs at a time with --run (default 1)")
    parser.add_argument("--format", choices=FORMATS, default="md")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table; the exit code of the runs where some were started."""
    from ablations.merge import with_scored
    from ablations.published_values import published_json, published_markdown, read_published
    from ablations.scored import read_scored
    from ablations.tables import build_table

    scored = read_scored(options.scored)
    code = _run_missing(options) if options.run_missing else 0
    table = build_table(options.table, options.runs, options.preset, options.seeds, options.overrides)
    table = with_scored(table, scored)
    published = read_published() if options.with_published else ()
    if options.format == "json":
        from emospace.commands.output import print_json

        extra = {"published": published_json(published)} if published else {}
        print_json({**table.json(), **extra})
        return code
    print({"md": table.markdown, "latex": table.latex, "csv": table.csv}[options.format]())
    if published:
        print(published_markdown(published), file=sys.stdout if options.format == "md" else sys.stderr)
    return code


def _run_missing(options: argparse.Namespace) -> int:
    import os

    from ablations.tables import missing_jobs
    from emospace.commands.sweep import run_state
    from experiments.launchers import local_launcher, run_sweep

    jobs = missing_jobs(options.table, options.runs, options.preset, options.seeds, options.overrides)
    if not jobs:
        return 0
    os.environ["EMOSPACE_RUNS"] = str(options.runs)
    launcher = local_launcher(options.slots, lambda job: run_state(job.words))
    code, reports = run_sweep(jobs, options.runs / ".logs" / f"table-{options.table}", launcher)
    for report in reports:
        if report.state != "done":
            print(f"{report.job.label}: {report.state}: {report.reason or 'not started'}", file=sys.stderr)
    return code
