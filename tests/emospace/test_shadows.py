"""Files of the user's working directory never stand in for ours, however a command is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emospace import ROOT
from experiments.launchers import LocalLauncher
from experiments.sweep import SweepJob

NAMES = ("metrics", "conventions", "experiments", "datamodules", "toyworld", "ablations", "lightning_modules", "yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose modules leave a mark when they are imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return tmp_path


@pytest.mark.parametrize("words", [["-m", "emospace.cli"], ["-c", "from emospace.cli import entry; entry()"]])
def test_a_command(words: list[str], folder: Path) -> None:
    if words[0] == "-c":
        words = ["-P", *words]
    done = subprocess.run([sys.executable, *words, "status", "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not (folder / "executed").exists()


def test_runs_of_a_sweep(folder: Path) -> None:
    reports = LocalLauncher(1).run([SweepJob(("tooy",))], folder / "logs")
    assert reports[0].reason is not None
    assert "did you mean 'toy'" in reports[0].reason
    assert not (folder / "executed").exists()


def test_children_of_a_command(folder: Path) -> None:
    """What Lightning starts is the same command again; worker processes are started by multiprocessing."""
    code = "import os; from emospace import cli; cli.main = lambda: print(os.environ['PYTHONSAFEPATH']); cli.entry()"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    child = [sys.executable, "-m", "emospace.cli", "ablations", "--json"]
    assert subprocess.run(child, env=environment, capture_output=True, check=False).returncode == 0
    assert not (folder / "executed").exists()
