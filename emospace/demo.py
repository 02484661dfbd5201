"""`emospace demo`: the whole thread on the toy world. Each step is skipped when what it makes is there already."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ablations.tables import build_table
from conventions.errors import UserError
from conventions.files import write_json
from datamodules.toy_mead.world import PORTRAITS
from emospace.report.page import write_report
from emospace.talker import Talker
from experiments.graph import StageRun, compose, plan
from experiments.launchers import run_sweep, states_table
from experiments.sweep import expand_sweep
from experiments.world import ready_store

EXPERIMENT = "demo"
EMOTION = "very happy"


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def demo(work: Path, runs: Path) -> int:
    """World, store, the demo sweep, a talking face and the report below `work`; the table on stdout."""
    began = time.monotonic()
    say("demo: toy actors, substitute networks; the numbers show that the machine runs, not how well the paper does")
    ready_store(compose(EXPERIMENT))
    code = train(runs)
    if code != 0:
        return code
    table = build_table("3", runs, EXPERIMENT, (0,))
    print(table.markdown())
    video, report = work / "talk.mp4", work / "report.html"
    full = full_run(runs)
    if needs_making(video, full.folder(runs).path):
        talk(full, runs, video)
    if needs_making(report, *(folder for folder in runs.iterdir() if folder.is_dir()), video):
        write_report(report, runs, [table], [(f"a toy portrait, '{EMOTION}'", video)])
    say(f"demo: done in {time.monotonic() - began:.0f} s; open {report}")
    return 0


def train(runs: Path) -> int:
    """Run what is missing of the sweep `demo`; its exit code."""
    jobs = [job for job in expand_sweep(EXPERIMENT).jobs if not is_done(job.words, runs)]
    if not jobs:
        return 0
    code, reports = run_sweep(jobs, runs / ".logs" / EXPERIMENT)
    say(states_table(reports))
    return code
