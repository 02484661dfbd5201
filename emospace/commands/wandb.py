"""Publish run folders to Weights & Biases, and create a dashboard there.

publish [RUN ...]   write W&B runs from the folders of these runs (default: all finished runs); never twice
workspace           save a view of the project grouped by variant; needs the package wandb-workspaces and a key
"""

import argparse

from conventions.errors import EXIT_FAILURE, UserError
from emospace.commands.output import add_json, add_runs, print_json

EXAMPLE = "emospace wandb publish --mode offline && wandb sync runs/*/wandb/offline-run-*"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace wandb`."""
    parser.add_argument("action", choices=("publish", "workspace"), help="what to do")
    parser.add_argument("names", metavar="RUN", nargs="*", help="run ids to publish (default: all finished runs)")
    help_mode = "publish: write to runs/ID/wandb, or upload (default auto: upload if WANDB_API_KEY is set)"
    parser.add_argument("--mode", choices=("auto", "offline", "online"), default="auto", help=help_mode)
    parser.add_argument("--project", default="emospace", help="W&B project (default emospace)")
    parser.add_argument("--entity", default="", help="W&B user or team (default: the key's own; workspace needs it)")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Publish, or save the workspace."""
    return _publish(options) if options.action == "publish" else _workspace(options)


def _publish(options: argparse.Namespace) -> int:
    from experiments.readback import finished, read_alone
    from experiments.rundir import RunFolder
    from experiments.schema import TrackingConfig
    from experiments.tracking import Mirror

    config = TrackingConfig(mode=options.mode, project=options.project, entity=options.entity)
    rows = []
    for name in finished(options.runs, options.names):
        folder = RunFolder(options.runs / name)
        with folder.lock():
            mirror = Mirror(read_alone(folder), folder, config, target=False)
            mirror.publish()
        rows.append({"id": name, "mode": mirror.mode, "published": not mirror.failed})
        if not options.json:
            print(f"{'failed' if mirror.failed else mirror.mode:<8} {name}", flush=True)
    if options.json:
        print_json(rows)
    return 0 if all(row["published"] for row in rows) else EXIT_FAILURE


def _workspace(options: argparse.Namespace) -> int:
    import sys

    from experiments.workspace import build, logged_names

    if options.names:
        raise UserError(f"{options.names[0]!r}: workspace takes no run ids; it shows the whole project")
    if not options.entity:
        raise UserError("--entity: is required; a workspace belongs to a W&B user or team")
    workspace = build(logged_names(options.runs), options.entity, options.project)
    try:
        workspace.save()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        print(f"emospace wandb: W&B did not save the workspace ({type(error).__name__}: {first})", file=sys.stderr)
        return EXIT_FAILURE
    if options.json:
        print_json({"url": workspace.url})
    else:
        print(workspace.url)
    return 0
