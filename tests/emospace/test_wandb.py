"""`emospace wandb`: runs published from their folders alone, and the workspace that shows them by variant."""

import json
import sys
from pathlib import Path

import pytest
from run_folders import planned_runs, write_runs, write_samples

from emospace.cli import main
from experiments.graph import StageRun
from experiments.workspace import NAME, build, build_report, logged_clips, logged_names


@pytest.fixture(scope="module")
def planned() -> list[StageRun]:
    return planned_runs()


@pytest.fixture
def runs(planned: list[StageRun], tmp_path: Path) -> Path:
    write_runs(planned, tmp_path)
    return tmp_path


def test_every_finished_run_is_published_once_however_often(
    runs: Path, planned: list[StageRun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    done = sorted(run.id for run in planned if run.stage in ("eac", "evaluate"))
    for _ in range(2):
        assert main(["wandb", "publish", "--runs", str(runs), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == [{"id": name, "mode": "offline", "published": True} for name in done]
    written = sorted(path.stem.removeprefix("run-") for path in runs.glob("*/wandb/offline-run-*/*.wandb"))
    assert written == done


def test_a_failure_is_named_and_the_exit_code(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["wandb", "publish", "--runs", str(runs)]) == 1
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["failed", "failed"]
    assert "needs the package wandb" in told.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["publish", "CUT"], "did you mean 'eac.s0."),
        (["publish", "HEF"], "only finished runs are published"),
        (["workspace"], "--entity: is required"),
        (["workspace", "HEF"], "takes no run ids"),
        (["report"], "--entity: is required"),
        (["report", "--entity", "me", "--table", "30"], "table '30' is unknown"),
        (["publsh"], "invalid choice: 'publsh'"),
    ],
)
def test_wrong_use_is_one_line(
    runs: Path, planned: list[StageRun], words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {run.stage: run.id for run in planned}
    named = {"HEF": ids["hef"], "CUT": ids["eac"][:-1]}
    assert main(["wandb", *[named.get(word, word) for word in words], "--runs", str(runs)]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert part in told.err


@pytest.mark.parametrize("action", ["workspace", "report"])
def test_without_its_package_a_dashboard_names_what_to_install(
    runs: Path, action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["wandb", action, "--entity", "me", "--table", "--runs", str(runs)]) == 2
    assert "pip install 'emospace[workspace]'" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["workspace", "report"])
def test_without_a_server_a_dashboard_ends_with_one_line(
    runs: Path, action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setattr("experiments.tracking.server_address", lambda: "http://127.0.0.1:9")
    monkeypatch.setattr("experiments.wandb_server.PROBE_SECONDS", 0.5)
    assert main(["wandb", action, "--entity", "me", "--table", "--runs", str(runs)]) == 1
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert f"did not save the {action} (ConnectionError: http://127.0.0.1:9 does not answer" in told.err


def test_names_come_from_finished_runs_evaluation_first(runs: Path, tmp_path: Path) -> None:
    assert logged_names(runs) == {"evaluate": ("test/EFD", "test/LMD"), "eac": ("train/loss",)}
    assert list(logged_names(runs)) == ["evaluate", "eac"]


def test_the_workspace_is_grouped_by_variant(runs: Path) -> None:
    """The document that W&B's server would be sent."""
    pytest.importorskip("wandb_workspaces")
    view = build(logged_names(runs), "me", "faces")._to_model().model_dump(by_alias=True)
    assert (view["entity"], view["project"], view["displayName"]) == ("me", "faces", NAME)
    section = view["spec"]["section"]
    assert [key["name"] for key in section["runSets"][0]["grouping"]] == ["stage.value", "variant.value"]
    panels = {shown["name"]: shown["panels"] for shown in section["panelBankConfig"]["sections"]}
    assert [panel["config"]["metrics"] for panel in panels["evaluate"]] == [["test/EFD"], ["test/LMD"]]
    [curve] = panels["eac"]
    assert (curve["config"]["xAxis"], curve["config"]["metrics"]) == ("batch", ["train/loss"])
    grouped = [panel["config"]["groupBy"] for shown in panels.values() for panel in shown]
    assert grouped == ["variant.value"] * 3


def test_the_report_has_tables_samples_bars_and_curves(runs: Path, planned: list[StageRun]) -> None:
    """The document that W&B's server would be sent."""
    pytest.importorskip("wandb_workspaces")
    write_samples(planned[-1], runs)
    table = "| variant | EFD |\n| --- | --- |\n| full | 0.5 |"
    report = build_report(logged_names(runs), logged_clips(runs), {"Table 3": table}, "me", "faces")._to_model()
    assert (report.display_name, report.project.entity_name, report.project.name) == (NAME, "me", "faces")
    blocks = json.loads(report.spec.model_dump_json(by_alias=True, exclude_none=True))["blocks"]
    assert table in [block.get("content") for block in blocks]
    heads = [block["children"][0]["text"] for block in blocks if block["type"] == "heading"]
    assert heads == ["Tables", "Table 3", "Samples", "evaluate", "eac"]
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    panels = [grid["panelBankSectionConfig"]["panels"] for grid in grids]
    assert [[panel["viewType"] for panel in row] for row in panels] == [
        ["Media Browser"],
        ["Bar Chart", "Bar Chart"],
        ["Run History Line Plot"],
    ]
    filters = [grid["runSets"][0]["filters"]["filters"][0] for grid in grids]
    assert [(one["key"]["name"], one["value"]) for one in filters] == [
        ("jobType", "evaluate"),
        ("jobType", "evaluate"),
        ("jobType", "eac"),
    ]
    [[samples], [bars, _], [curve]] = panels
    assert (samples["config"]["mediaKeys"], samples["config"]["gridSettings"]) == (["samples/clip"], {"xAxis": "run"})
    for panel in (bars, curve):
        assert panel["config"]["groupBy"] == "variant.value"
        assert (panel["config"]["groupAgg"], panel["config"]["groupArea"]) == ("mean", "minmax")
