"""The whole path to a W&B server on this machine: online logging, `publish`, `wandb sync`, sweeps, agents, dashboards.

Needs the program `openwandb`, a W&B-compatible server from PyPI (licence CC BY-NC, so it is no dependency; an
environment of its own whose `bin` is on the PATH will do). What a server lacks skips its test with the server's answer.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import write_tiny

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
ENTITY = "default"
KEY = "local" + "0" * 40
PATIENCE = 120.0
TRIES = 3
"""W&B's library gives up on a slow server by itself; what was not published is published by the next call."""
PATIENT = f"""
import sys
from experiments import wandb_server
wandb_server.START_SECONDS = wandb_server.PROBE_SECONDS = {PATIENCE}
from emospace.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""`emospace`, which waits longer for a server that shares a busy machine with the test."""
COMMAND = '["${env}", "${interpreter}", -m, emospace.cli, run, tiny.yaml, --stage, gpt2, "${args_no_hyphens}"]'
SWEEP = f"name: seeds\nmethod: grid\nmetric: {{name: test/perplexity}}\ncommand: {COMMAND}\n"


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address."""
    program = shutil.which("openwandb")
    if program is None:
        pytest.skip("no W&B-compatible server on the PATH: openwandb is one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder, address = tmp_path_factory.mktemp("server"), f"http://127.0.0.1:{port}"
    words = ["serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder)]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([program, *words], stdout=log, stderr=log)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, (folder / "log.txt").read_text()
            assert time.monotonic() < end, "the server does not answer"
            try:
                get(f"{address}/api/v2/projects")
                break
            except (OSError, urllib.error.URLError):
                time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Client:
    """A user's folder with a tiny stage to train, and commands that know the server."""

    def __init__(self, home: Path, server: str) -> None:
        self.home, self.server = home, server
        write_tiny(home)
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        known = {"WANDB_BASE_URL": server, "WANDB_API_KEY": KEY, "PYTHONPATH": str(ROOT), "PATH": programs}
        self.environment = {**kept, **known, "WANDB_CONFIG_DIR": str(home), "WANDB_ERROR_REPORTING": "false"}

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=self.home, env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def emospace(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-c", PATIENT, *words, check=check)

    def runs(self, project: str) -> list[dict[str, Any]]:
        """What the server has of a project."""
        return get(f"{self.server}/api/v2/projects/{ENTITY}/{project}/runs")["runs"]

    def curve(self, run: str, name: str) -> list[tuple[int, float]]:
        """(step, value) as the server has it."""
        points = get(f"{self.server}/api/v2/runs/{run}/metrics")["metrics_by_key"][name]
        return [(point["step"], point["value"]) for point in points]

    def history(self, run: str, name: str) -> list[tuple[int, float]]:
        """(step, value) as the run folder has it."""
        rows = (self.home / "runs" / run / "history.jsonl").read_text().splitlines()
        return [(row["step"], row[name]) for row in map(json.loads, rows) if name in row]


@pytest.fixture
def client(tmp_path: Path, server: str) -> Client:
    return Client(tmp_path, server)


def test_a_run_is_logged_while_it_trains_and_stays_one_run(client: Client) -> None:
    words = ("tiny.yaml", "--stage", "gpt2", "tracking.mode=online", "tracking.project=live", "prior_seed=1")
    assert "not logged to W&B" not in client.emospace("run", *words).stderr
    [run] = client.runs("live")
    assert run["display_name"] == "gpt2 full s1"
    name = "train/loss"
    np.testing.assert_allclose(client.curve(run["run_id"], name), client.history(run["run_id"], name), rtol=1e-6)
    metrics = json.loads((client.home / "runs" / run["run_id"] / "metrics.json").read_text())["metrics"]
    assert run["summary"]["test/perplexity"] == pytest.approx(metrics["perplexity"])
    [weights] = get(f"{client.server}/api/v2/runs/{run['run_id']}/artifacts")["artifacts"]
    assert weights["name"] == run["run_id"].replace(".", "_")
    words = ("wandb", "publish", "--mode", "online", "--project", "live")
    assert any(client.emospace(*words, check=False).returncode == 0 for _ in range(TRIES))
    assert len(client.runs("live")) == 1
    again = sorted(
        set(client.curve(run["run_id"], name))
    )  # openwandb does not report the steps it has: rows come twice
    np.testing.assert_allclose(again, client.history(run["run_id"], name), rtol=1e-6)


def test_an_offline_run_is_synced(client: Client) -> None:
    client.emospace("run", "tiny.yaml", "--stage", "gpt2", "tracking.mode=offline", "tracking.project=later")
    assert client.runs("later") == []
    client.call("wandb", "sync", *map(str, client.home.glob("runs/*/wandb/offline-run-*")))
    [run] = client.runs("later")
    curve, history = client.curve(run["run_id"], "train/loss"), client.history(run["run_id"], "train/loss")
    np.testing.assert_allclose(curve, history, rtol=1e-6)


def skip_without(done: subprocess.CompletedProcess[str], what: str) -> None:
    """Skip where the server itself refused, as one of its unknown operations; any other failure is the test's."""
    if done.returncode and "Unknown operation" in done.stderr:
        assert done.returncode == 1
        pytest.skip(f"the server has no {what}: {done.stderr.strip().splitlines()[-1]}")


def test_an_agent_runs_the_points_of_a_sweep(client: Client) -> None:
    (client.home / "sweep.yaml").write_text(SWEEP + "parameters: {prior_seed: {values: [2, 3]}}\n")
    made = client.call("wandb", "sweep", "--project", "swept", "sweep.yaml", check=False)
    skip_without(made, "sweeps")
    assert made.returncode == 0, made.stderr
    sweep = made.stderr.split("wandb agent ")[-1].split()[0]
    client.call("wandb", "agent", sweep)
    states = json.loads(client.emospace("status", "--json").stdout)
    assert [run["state"] for run in states] == ["done", "done"]
    assert len(client.runs("swept")) == 2


@pytest.mark.parametrize("action", ["workspace", "report"])
def test_a_dashboard_is_saved(client: Client, action: str) -> None:
    pytest.importorskip("wandb_workspaces")
    client.emospace("run", "tiny.yaml", "--stage", "gpt2", "tracking.mode=disabled")
    done = client.emospace("wandb", action, "--entity", ENTITY, "--table", check=False)
    skip_without(done, f"{action}s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http")
