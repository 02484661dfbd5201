"""Write finished runs into a local Trackio project, from their folders alone; never twice.

`trackio show --project PROJECT` opens it in the browser. Trackio needs neither an account nor a network; its files lie
in TRACKIO_DIR. `emospace wandb publish` does the same for W&B.
"""

import argparse

from conventions.errors import EXIT_FAILURE
from emospace.commands.output import add_json, add_runs, print_json

EXAMPLE = "emospace publish --to trackio && trackio show --project emospace"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace publish`."""
    parser.add_argument("names", metavar="RUN", nargs="*", help="run ids to publish (default: all finished runs)")
    parser.add_argument("--to", choices=("trackio",), required=True, help="dashboard; needs 'emospace[trackio]'")
    parser.add_argument("--project", default="emospace", help="Trackio project (default emospace)")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Publish the runs; those that fail are reported, and the others published."""
    from experiments.readback import finished, read_alone
    from experiments.rundir import RunFolder
    from experiments.trackio_project import publish

    rows = []
    for name in finished(options.runs, options.names):
        folder = RunFolder(options.runs / name)
        with folder.lock():
            published = publish(read_alone(folder), folder, options.project)
        rows.append({"id": name, "published": published})
        if not options.json:
            print(f"{options.to if published else 'failed':<8} {name}", flush=True)
    if options.json:
        print_json(rows)
    return 0 if all(row["published"] for row in rows) else EXIT_FAILURE
