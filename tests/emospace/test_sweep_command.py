"""`emospace sweep` as real processes: one that is killed, two at once after it, one more when all is done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_folders import write_tiny

from experiments.rundir import read_history

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
SWEEP = """
method: grid
parameters:
  prior_seed: {values: [0, 1, 2]}
command: ["${env}", "${interpreter}", -m, emospace.cli, run, tiny.yaml, --stage, gpt2, "${args_no_hyphens}"]
"""
EXPERIMENT = """
data: {store: store}
prior: {gpt2: {steps: 40}}
tracking: {mode: disabled}
trainer: {checkpoint_every: 20, accelerator: cpu, log_every: 5}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep of three stand-ins of GPT-2, which need a store's name and nothing of its content."""
    write_tiny(tmp_path, EXPERIMENT)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path


def sweep(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emospace.cli", "sweep", "sweep.yaml", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    told, _ = process.communicate(timeout=600)
    return process.returncode, [run["state"] for run in json.loads(told)["runs"]]


def test_killed_and_started_twice_at_once_it_runs_everything_once(folder: Path) -> None:
    killed = sweep(folder)
    end = time.monotonic() + 300
    while not any(read_history(path) for path in folder.glob("runs/*/history.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)  # its run goes on
    both = [sweep(folder), sweep(folder)]
    assert [ended(process) for process in both] == [(0, ["done"] * 3)] * 2
    histories = [read_history(path) for path in folder.glob("runs/*/history.jsonl")]
    assert [[row["step"] for row in rows] for rows in histories] == [list(range(5, 41, 5))] * 3
    said = "".join(path.read_text() for path in folder.glob("runs/.logs/*/*.log"))
    assert said.count(": done in") == 3

    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert ended(sweep(folder)) == (0, ["done"] * 3)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == stamps
