"""What commands print: one JSON document or plain lines on stdout, progress on stderr."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conventions.errors import EXIT_FAILURE

if TYPE_CHECKING:
    from experiments.rundir import RunFolder
    from experiments.stage import StageRun


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else on stdout")


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add `--runs`, the parent of the run folders (EMOSPACE_RUNS, else `runs`)."""
    default = Path(os.environ.get("EMOSPACE_RUNS", "runs"))
    parser.add_argument("--runs", type=_folder, default=default, help="folder of runs (default: EMOSPACE_RUNS or runs)")


def _folder(text: str) -> Path:
    """A folder, or a path where one can be made."""
    if os.path.lexists(text) and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text}: is not a folder")
    return Path(text)


def network_words(networks: str | None) -> list[str]:
    """The config overrides that `--networks` abbreviates."""
    return [] if networks is None else [f"{section}.networks={networks}" for section in ("evaluate", "losses")]


def print_json(value: Any) -> None:
    """One JSON document on stdout, in ASCII where stdout is not UTF-8."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(json.dumps(value, indent=1, ensure_ascii=ascii_only))


def progress(label: str, every_s: float = 2.0) -> Callable[..., None]:
    """A callback (done, total, note="") that prints progress on stderr.

    One moving line on a terminal, plain lines elsewhere.
    """
    started = time.monotonic()
    last = -every_s if sys.stderr.isatty() else -5 * every_s
    state = {"last": last}

    def show(done: int, total: int, note: str = "") -> None:
        now = time.monotonic() - started
        interval = every_s / 10 if sys.stderr.isatty() else 5 * every_s
        if done < total and now - state["last"] < interval:
            return
        state["last"] = now
        start, end = ("\r", "") if sys.stderr.isatty() and done < total else ("\r" if sys.stderr.isatty() else "", "\n")
        print(f"{start}{label}: {done}/{total} ({now:.0f} s{note})", end=end, file=sys.stderr, flush=True)

    return show


def publish_runs(
    options: argparse.Namespace, publish: "Callable[[StageRun, RunFolder], tuple[str, Mapping[str, Any]]]"
) -> int:
    """Publish the runs that a command names, and print a line for each, or all as JSON.

    `publish` returns where a run now is and the facts of its row, `published` among them. Runs that fail are reported,
    and the others published.
    """
    from experiments.readback import finished, read_alone
    from experiments.rundir import RunFolder

    rows = []
    for name in finished(options.runs, options.names):
        folder = RunFolder(options.runs / name)
        with folder.lock():
            place, facts = publish(read_alone(folder), folder)
        rows.append({"id": name, **facts})
        if not options.json:
            print(f"{place if facts['published'] else 'failed':<8} {name}", flush=True)
    if options.json:
        print_json(rows)
    return 0 if all(row["published"] for row in rows) else EXIT_FAILURE
