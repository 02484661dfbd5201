"""Write finished runs into a local Trackio project, from their folders alone; never twice.

`trackio show --project PROJECT` opens it in the browser. Trackio needs neither an account nor a network; its files lie
in TRACKIO_DIR. `emospace wandb publish` does the same for W&B.
"""

import argparse

from emospace.commands.output import add_json, add_runs, publish_runs

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
    from experiments.trackio_project import publish

    return publish_runs(options, lambda run, folder: (options.to, {"published": publish(run, folder, options.project)}))
