"""`emospace publish --to trackio`: run folders as a local Trackio project."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_folders import planned_runs, write_runs, write_samples

from emospace.cli import main
from experiments.stage import StageRun

ROOT = Path(__file__).parent.parent.parent


class FakeTrackio:
    """Records what Trackio is given, in its interface."""

    def __init__(self) -> None:
        self.runs = dict[str, SimpleNamespace]()
        self.media = SimpleNamespace(get_project_media_path=lambda project, run: Path(f"/nowhere/{project}/{run}"))

    def init(self, **given: Any) -> SimpleNamespace:
        assert not {"TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"} & os.environ.keys(), "the project is a local one"
        assert given["name"] not in self.runs, "an earlier copy is removed first"
        rows = list[tuple[int, Mapping[str, Any]]]()
        name = given["name"]
        run = SimpleNamespace(**given, rows=rows, log=lambda values, step: rows.append((step, values)))
        run.delete = lambda: self.runs.pop(name)
        self.runs[name] = run
        return run

    def finish(self) -> None:
        print("* Run finished", flush=True)

    def Api(self) -> SimpleNamespace:  # noqa: N802
        if not self.runs:
            raise ValueError("Project does not exist")
        return SimpleNamespace(runs=lambda project: list(self.runs.values()))

    def Video(self, path: Path, caption: str) -> tuple[str, str]:  # noqa: N802
        return path.name, caption

    Image = Video

    def Table(self, columns: list[str], data: list[Any]) -> dict[str, Any]:  # noqa: N802
        return {"columns": columns, "data": data}


@pytest.fixture(scope="module")
def planned() -> dict[str, StageRun]:
    return {run.stage: run for run in planned_runs()}


@pytest.fixture
def runs(planned: dict[str, StageRun], tmp_path: Path) -> Path:
    write_runs(list(planned.values()), tmp_path)
    write_samples(planned["evaluate"], tmp_path)
    return tmp_path


def name_of(run: StageRun) -> str:
    return f"{run.stage} full s0 {run.id.rsplit('.', 1)[-1]}"


def test_finished_runs_are_written_once_however_often(
    runs: Path,
    planned: dict[str, StageRun],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake = FakeTrackio()
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/space")
    monkeypatch.setitem(sys.modules, "trackio", fake)  # pyright: ignore[reportArgumentType]
    monkeypatch.setitem(sys.modules, "trackio.media", fake.media)  # pyright: ignore[reportArgumentType]
    for _ in range(2):
        assert main(["publish", "--to", "trackio", "--runs", str(runs), "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert rows == [{"id": planned[stage].id, "published": True} for stage in ("eac", "evaluate")]
    evaluation, eac = fake.runs[name_of(planned["evaluate"])], fake.runs[name_of(planned["eac"])]
    assert (eac.project, eac.group, eac.config["stage"], eac.config["variant"]) == ("emospace", "toy", "eac", "full")
    assert eac.rows == [(10, {"train/loss": 0.5}), (10, {})]
    [(step, values)] = evaluation.rows
    assert (step, values["test/EFD"], values["samples/clip"]) == (0, 0.5, ("clip.mp4", "clip"))
    assert values["samples/clip_strip"] == ("clip.png", "clip")
    assert values["per_clip"] == {"columns": ["id", "EFD"], "data": [["clip", 0.5]]}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--to", "trackio"], "pip install 'emospace[trackio]'"),
        (["--to", "tensorboard"], "invalid choice: 'tensorboard'"),
        ([], "required: --to"),
        (["nonesuch", "--to", "trackio"], "run 'nonesuch' is not in"),
    ],
)
def test_wrong_use_is_one_line(
    runs: Path, words: list[str], part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert main(["publish", *words, "--runs", str(runs)]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert part in told.err


def test_a_folder_without_finished_runs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "--to", "trackio", "--runs", str(tmp_path)]) == 2
    assert "contains no finished run" in capsys.readouterr().err


READ = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage
for run in trackio.Api().runs("emospace"):
    print(json.dumps([run.name, run.config["variant"], SQLiteStorage.get_logs("emospace", run.name, run_id=run.id)]))
"""


@pytest.mark.slow
def test_trackio_reads_what_was_written(runs: Path, planned: dict[str, StageRun], tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="needs trackio: pip install 'emospace[trackio]'")
    place = tmp_path / "trackio"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRACKIO_DIR": str(place), "HF_HUB_OFFLINE": "1"}

    def python(*words: str) -> str:
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    for _ in range(2):
        told = python("-m", "emospace.cli", "publish", "--to", "trackio", "--runs", str(runs), "--json")
        assert [row["published"] for row in json.loads(told)] == [True, True], "nothing else on stdout"
    found = {name: (variant, logs) for name, variant, logs in map(json.loads, python("-c", READ).splitlines())}
    assert found.keys() == {name_of(planned[stage]) for stage in ("eac", "evaluate")}
    variant, [row] = found[name_of(planned["evaluate"])]
    assert (variant, row["test/EFD"], row["per_clip"]["_value"]) == ("full", 0.5, [{"id": "clip", "EFD": 0.5}])
    film = place / "media" / row["samples/clip"]["file_path"]
    assert film.read_bytes() == (planned["evaluate"].folder(runs).samples / "clip.mp4").read_bytes()
    assert len(list(place.rglob("*.mp4"))) == 1, "no copy is left of the first time"
    curve = [row for row in found[name_of(planned["eac"])][1] if "train/loss" in row]
    assert [(row["step"], row["train/loss"]) for row in curve] == [(10, 0.5)]
