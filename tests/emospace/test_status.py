"""`emospace status`: state, progress, id and title of every run, of either identity."""

import json
from pathlib import Path

import pytest

from emospace.cli import main
from experiments.rundir import RunFolder

TITLE = "eac eac_mlp s0 eac.steps=20"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run half way, one that failed, and one of the first identity."""
    labels = {"stage": "eac", "title": TITLE, "experiment": "toy", "sweep": "steps"}
    RunFolder(tmp_path / "eac.s0.aaaaaaaa").set_status("interrupted", step=5, total=20, seconds=7.4, **labels)
    RunFolder(tmp_path / "hef.s0.bbbbbbbb").set_status("failed", reason="no memory", stage="hef", title="hef full s0")
    old = RunFolder(tmp_path / "toy-eac.full.s0.cccccccc")
    old.write("metrics.json", {"hash": "cccccccc", "required": [], "metrics": {}})
    old.set_status("done", hash="cccccccc", stage="eac")
    return tmp_path


def test_one_line_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--runs", str(runs)]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["interrupted", "25%", "7", "s", "eac.s0.aaaaaaaa", *TITLE.split()]
    assert second.endswith("hef full s0  (no memory)")
    assert third.split() == ["done", "100%", "toy-eac.full.s0.cccccccc"]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--stage", "eac"], ["eac.s0.aaaaaaaa", "toy-eac.full.s0.cccccccc"]),
        (["--state", "failed", "done"], ["hef.s0.bbbbbbbb", "toy-eac.full.s0.cccccccc"]),
        (["--stage", "hef", "--state", "done"], []),
    ],
)
def test_stages_and_states_select(
    runs: Path, words: list[str], ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--runs", str(runs), "--json", *words]) == 0
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == ids


def test_json_has_the_labels(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--runs", str(runs), "--json"])
    run = json.loads(capsys.readouterr().out)[0]
    assert (run["title"], run["sweep"], run["experiment"], run["progress"]) == (TITLE, "steps", "toy", 0.25)
