"""Publish run folders to Weights & Biases, and create dashboards there.

publish [RUN ...]   write W&B runs from the folders of these runs (default: all finished runs); never twice
workspace           save a view of the project grouped by variant; needs the package wandb-workspaces and a key
report              save a W&B report: tables, samples side by side, bars by variant, curves; needs the same
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from conventions.errors import EXIT_FAILURE, UserError
from emospace.commands.output import add_json, add_runs, print_json, publish_runs

if TYPE_CHECKING:
    from experiments.rundir import RunFolder
    from experiments.stage import StageRun

EXAMPLE = "emospace wandb publish --mode offline && wandb sync runs/*/wandb/offline-run-*"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace wandb`."""
    parser.add_argument("action", choices=("publish", "workspace", "report"), help="what to do")
    parser.add_argument("names", metavar="RUN", nargs="*", help="run ids to publish (default: all finished runs)")
    help_mode = "publish: write to runs/ID/wandb, or upload (default auto: upload if WANDB_API_KEY is set)"
    parser.add_argument("--mode", choices=("auto", "offline", "online"), default="auto", help=help_mode)
    parser.add_argument("--project", default="emospace", help="W&B project (default emospace)")
    help_entity = "W&B user or team (default: the key's own; workspace and report need it)"
    parser.add_argument("--entity", default="", help=help_entity)
    help_table = "report: tables to show, as `emospace table` takes them (default 3)"
    parser.add_argument("--table", nargs="*", default=["3"], help=help_table)
    parser.add_argument("--preset", help="report: experiment of the tables (default: the table's own, else toy)")
    help_seeds = "report: seeds of the tables (default: the table's own, else 0)"
    parser.add_argument("--seeds", type=int, nargs="+", help=help_seeds)
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Publish, or save the workspace or the report."""
    if options.action == "publish":
        return _publish(options)
    if options.names:
        raise UserError(f"{options.names[0]!r}: {options.action} takes no run ids; it shows the whole project")
    if not options.entity:
        raise UserError(f"--entity: is required; a {options.action} belongs to a W&B user or team")
    return _save(options, _page(options))


def _publish(options: argparse.Namespace) -> int:
    from experiments.schema import TrackingConfig
    from experiments.tracking import Mirror

    config = TrackingConfig(mode=options.mode, project=options.project, entity=options.entity)

    def publish(run: "StageRun", folder: "RunFolder") -> tuple[str, dict[str, Any]]:
        mirror = Mirror(run, folder, config, target=False)
        mirror.publish()
        return mirror.mode, {"mode": mirror.mode, "published": not mirror.failed}

    return publish_runs(options, publish)


def _page(options: argparse.Namespace) -> Any:
    """The workspace or the report, not yet saved."""
    from ablations import formats
    from ablations.tables import build_table
    from experiments.workspace import build, build_report, logged_clips, logged_names

    if options.action == "workspace":
        return build(logged_names(options.runs), options.entity, options.project)
    tables = [build_table(name, options.runs, options.preset, options.seeds) for name in options.table]
    texts = {f"Table {table.paper.name}: {table.paper.title}": formats.markdown(table) for table in tables}
    names, clips = logged_names(options.runs), logged_clips(options.runs)
    return build_report(names, clips, texts, options.entity, options.project)


def _save(options: argparse.Namespace, page: Any) -> int:
    """Save a workspace or a report on W&B's server and print its address."""
    from experiments.tracking import server_address
    from experiments.wandb_server import answers

    address = server_address()
    try:
        if not answers(address):
            raise ConnectionError(f"{address} does not answer; check the network and WANDB_BASE_URL")
        page.save()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        why = f"{type(error).__name__}: {first}"
        print(f"emospace wandb: W&B did not save the {options.action} ({why})", file=sys.stderr)
        return EXIT_FAILURE
    if options.json:
        print_json({"url": page.url})
    else:
        print(page.url)
    return 0
