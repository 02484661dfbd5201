import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from experiments.graph import StageRun, compose, plan
from experiments.readback import read_alone
from experiments.run_content import write_csv
from experiments.rundir import RunFolder
from experiments.schema import TrackingConfig
from experiments.tracking import Mirror

PARENTS = {"critics": "toy-critics.full.s0.00000000"}
GIT = {"commit": "abc", "dirty": None}
CLOCKS = ("_runtime", "_timestamp", "start_time")


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_DIR", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("experiments.wandb_server._silent", set())


@pytest.fixture
def run() -> StageRun:
    return plan(compose("toy", target="clip"), lambda path: "5" * 64)[0]


@pytest.fixture
def folder(run: StageRun, tmp_path: Path) -> RunFolder:
    """A finished run that was once interrupted: its history goes on where the checkpoint was."""
    folder = run.folder(tmp_path)
    folder.write("metrics.json", {"hash": run.hash, "required": ["EFD"], "metrics": {"EFD": 0.25}})
    folder.set_status("done", hash=run.hash, stage=run.stage, variant=run.variant, seed=run.seed)
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(run.config)))
    folder.write("provenance.json", {"parents": PARENTS, "git": GIT})
    rows = [{"step": step, "time": 1.5 * step, "train/loss": 1 / step} for step in (10, 20, 30)]
    rows[1]["val/loss"] = 0.75
    folder.history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_csv(folder.path / "per_clip.csv", [{"id": "a", "EFD": 0.2}, {"id": "b", "EFD": float("nan")}])
    folder.checkpoints.mkdir()
    (folder.checkpoints / "final.pt").write_bytes(b"weights")
    folder.samples.mkdir()
    (folder.samples / "a.mp4").write_bytes(b"\0" * 64)
    folder.strip(20).parent.mkdir()
    Image.new("RGB", (8, 8)).save(folder.strip(20))
    return folder


def inspect(folder: RunFolder) -> list[dict]:
    """The records of the one offline run, by W&B's own reader."""
    pytest.importorskip("wandb")
    [recorded] = folder.path.glob("wandb/offline-run-*/*.wandb")
    program = shutil.which("wandb", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert program is not None
    command = [program, "leet", "inspect", "--json", str(recorded)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_kind(records: list[dict], kind: str) -> list[dict]:
    return [record[kind] for record in records if record["type"] == kind]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> TrackingConfig:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    return TrackingConfig()


def test_an_offline_run_holds_everything_and_leaves_no_trace_outside(
    run: StageRun, folder: RunFolder, offline: TrackingConfig
) -> None:
    before = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    Mirror(run, folder, offline, target=True).publish()
    assert {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} == before
    records = inspect(folder)
    *curve, media = [record["item"] for record in of_kind(records, "history")]
    assert [(item["_step"], item["batch"]) for item in curve] == [(10, 10), (20, 20), (30, 30)]
    assert [item["train/loss"] for item in curve] == [0.1, 0.05, pytest.approx(1 / 30)]
    assert [item["_timestamp"] for item in curve] == [15, 30, 45], "when it was trained, not when it was sent"
    assert (media["_step"], "train/loss" in media) == (31, False)
    assert [item.get("val/pictures._type") for item in curve] == [None, "image-file", None], "beside the validation"
    assert media["samples/a._type"] == "video-file"
    assert (media["per_clip._type"], media["per_clip.nrows"], media["per_clip.ncols"]) == ("table-file", 2, 2)

    [begun] = of_kind(records, "run")
    assert (begun["run_id"], begun["run_group"], begun["job_type"]) == (run.id, "toy", "clip")
    assert (begun["display_name"], begun["tags"]) == ("clip full s0", ["full", "seed0"])
    config = begun["config"]["update"]
    assert (config["hash"], config["variant"], config["parents"]) == (run.hash, "full", PARENTS)
    assert (config["prior"]["clip"]["steps"], config["origin"]["git"]) == (run.config.prior.clip.steps, GIT)

    artifacts = {artifact["type"]: artifact for artifact in of_kind(records, "artifact")}
    assert json.loads(artifacts["weights"]["metadata"]) == {"hash": run.hash, "parents": PARENTS}
    kept = [content["local_path"] for one in artifacts.values() for content in one["manifest"]["contents"]]
    assert all(Path(path).is_relative_to(folder.path) and Path(path).exists() for path in kept)
    assert {"test/EFD": 0.25, "val/loss": 0.75} in [record["update"] for record in of_kind(records, "summary")]
    assert [ended["exit_code"] for ended in of_kind(records, "exit")] == [0]


def test_swept_fields_stand_in_name_and_tags_and_the_sweep_is_the_group(
    tmp_path: Path, offline: TrackingConfig
) -> None:
    words = ["prior.clip.steps=7", f"prior.clip.learning_rate=0.0{'1' * 60}", "hef.steps=3"]
    run = plan(compose("toy", overrides=words, target="clip"), lambda path: "5" * 64)[0]
    folder = run.folder(tmp_path)
    labels = {"hash": run.hash, "stage": run.stage, "variant": "full", "seed": 0, "fields": dict(run.fields)}
    folder.set_status("done", sweep="steps", **labels)
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(run.config)))
    Mirror(read_alone(folder), folder, offline, target=False).publish()
    [begun] = of_kind(inspect(folder), "run")
    assert begun["run_group"] == "steps"
    assert begun["display_name"].startswith("clip full s0 prior.clip.steps=7 prior.clip.learning_rate=0.01")
    assert begun["tags"][:3] == ["full", "seed0", "prior.clip.steps=7"], "HEF's steps do not change this stage"
    assert [len(tag) for tag in begun["tags"][3:]] == [64]


def test_published_again_it_is_the_same_run_and_no_second(
    run: StageRun, folder: RunFolder, offline: TrackingConfig
) -> None:
    Mirror(run, folder, offline, target=True).publish()
    before, staged = inspect(folder), list(folder.path.glob("wandb/artifacts/staging/*"))
    Mirror(read_alone(folder), folder, offline, target=False).publish()
    after = inspect(folder)
    for kind in ("history", "run"):
        told = [[_without_clock(record) for record in of_kind(records, kind)] for records in (before, after)]
        assert told[0] == told[1]
    assert len(list(folder.path.glob("wandb/artifacts/staging/*"))) == len(staged)


def _without_clock(record: dict) -> dict:
    """A record without what differs each time it is written."""
    item = record.get("item", {})
    kept = {name: value for name, value in item.items() if name not in CLOCKS and "artifact_path" not in name}
    return {**{name: value for name, value in record.items() if name not in CLOCKS}, "item": kept}


def test_a_failure_keeps_the_run_that_was_published_before(
    run: StageRun, folder: RunFolder, offline: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    Mirror(run, folder, offline, target=True).publish()
    before = inspect(folder)
    monkeypatch.setattr("experiments.tracking.Mirror._media", _full_disk)
    mirror = Mirror(run, folder, offline, target=True)
    mirror.publish()
    assert mirror.failed
    assert inspect(folder) == before


FAULTS = {
    "library": {},
    "disk": {},
    "key": {"WANDB_API_KEY": "too-short"},
    "network": {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_is_one_warning(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    monkeypatch.setattr("experiments.wandb_server.START_SECONDS", 1.0)
    for name, value in FAULTS[fault].items():
        monkeypatch.setenv(name, value)
    if fault == "library":
        monkeypatch.setitem(sys.modules, "wandb", None)
    elif fault == "disk":
        monkeypatch.setattr("experiments.tracking.Mirror._media", _full_disk)
    mirror = Mirror(run, folder, TrackingConfig(mode="online" if FAULTS[fault] else "offline"), target=True)
    mirror.follow({"step": 1, "time": 0.0})
    mirror.publish()
    assert mirror.failed
    lines = [line for line in capfd.readouterr().err.splitlines() if "not logged to W&B" in line]
    assert len(lines) == 1
    assert "emospace wandb publish" in lines[0]


def _full_disk(mirror: Mirror) -> dict:
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_a_full_disk_is_one_warning(
    run: StageRun, folder: RunFolder, offline: TrackingConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file system of 300 kB, which the curves alone fill."""
    place = folder.path / "wandb"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        rows = [{"step": step, "time": 1.0, **{f"train/{i}": step / 7 + i for i in range(20)}} for step in range(500)]
        folder.history.write_text("".join(json.dumps(row) + "\n" for row in rows))
        mirror = Mirror(dataclasses.replace(run, id=f"{run.id}0"), folder, offline, target=True)
        mirror.publish()
        assert mirror.failed
        assert "not logged to W&B (OSError: [Errno 28]" in capfd.readouterr().err
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_disabled_imports_nothing(run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    Mirror(run, folder, TrackingConfig(mode="disabled"), target=True).publish()
    assert not (folder.path / "wandb").exists()


class FakeWandb:
    """Records how runs are started."""

    def __init__(self) -> None:
        self.started: list[dict] = []
        self.seen: list[str | None] = []
        self.steps: list[int] = []

    class Settings:
        def __init__(self, **values: object) -> None:
            pass

    def init(self, **arguments: object) -> "FakeWandb":
        self.started.append(arguments)
        self.seen.append(os.environ.get("WANDB_RUN_ID"))
        return self

    def log(self, values: dict, step: int) -> None:
        assert values["batch"] == step
        self.steps.append(step)

    def finish(self) -> None:
        pass

    def Image(self, path: str) -> str:  # noqa: N802
        return path


@pytest.mark.parametrize("target", [True, False])
def test_inside_an_agent_only_the_target_takes_the_agents_run(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, target: bool
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    mirror = Mirror(dataclasses.replace(run), folder, TrackingConfig(mode="online"), target)
    mirror.follow({"step": 10, "time": 1.0, "train/loss": 0.5})
    assert fake.seen == ["given" if target else None]
    assert fake.started[0]["id"] == (None if target else run.id)
    assert os.environ["WANDB_RUN_ID"] == "given"


def test_an_online_run_catches_up_with_what_an_earlier_process_wrote(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # pyright: ignore[reportArgumentType]
    mirror = Mirror(run, folder, TrackingConfig(mode="online"), target=True)
    mirror.follow({"step": 30, "time": 45.0, "train/loss": 0.3})
    mirror.follow({"step": 40, "time": 60.0, "train/loss": 0.2})
    assert fake.steps == [10, 20, 30, 40], "rows before this process too, none twice"
    assert [started["resume"] for started in fake.started] == ["allow"]


@pytest.mark.parametrize(
    ("mode", "variables", "expected"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "k"}, "online"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "dryrun"}, "offline"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "online"}, "online"),
        ("offline", {"WANDB_API_KEY": "k", "WANDB_MODE": "online"}, "offline"),
        ("disabled", {"WANDB_API_KEY": "k", "WANDB_MODE": "online"}, "disabled"),
        ("auto", {"WANDB_SWEEP_ID": "s", "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_SWEEP_ID": "s"}, "online"),
    ],
)
def test_the_mode(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, mode, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Mirror(run, folder, TrackingConfig(mode=mode), target=True).mode == expected


@pytest.mark.parametrize(
    ("config", "project", "entity"),
    [
        (TrackingConfig(mode="online"), "theirs", "team"),
        (TrackingConfig(mode="online", project="mine", entity="me"), "mine", "me"),
    ],
)
def test_project_entity_and_folder_of_the_environment(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config, project: str, entity: str
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # pyright: ignore[reportArgumentType]
    for name, value in {"PROJECT": "theirs", "ENTITY": "team", "DIR": str(tmp_path / "elsewhere")}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    Mirror(run, folder, config, target=True).follow({"step": 10, "time": 1.0})
    [started] = fake.started
    assert (started["project"], started["entity"], started["dir"]) == (project, entity, str(tmp_path / "elsewhere"))


def test_files_of_other_runs_in_a_shared_folder_stay(
    run: StageRun, folder: RunFolder, offline: TrackingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "shared" / "wandb" / "offline-run-20200101_000000-another"
    other.mkdir(parents=True)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "shared"))
    for _ in range(2):
        Mirror(dataclasses.replace(run, id=f"{run.id}1"), folder, offline, target=True).publish()
    assert other.is_dir()
    assert len(list(other.parent.glob("offline-run-*"))) == 2
    assert not (folder.path / "wandb").exists()


@pytest.mark.slow
def test_a_silent_server_costs_less_than_ten_seconds(run: StageRun, folder: RunFolder, tmp_path: Path) -> None:
    """It takes connections and never answers; two stages of one process, and the end of the process, count together."""
    code = f"""
import sys, time
from pathlib import Path
from experiments.readback import read_alone
from experiments.rundir import RunFolder
from experiments.schema import TrackingConfig
from experiments.tracking import Mirror
folder = RunFolder(Path({str(folder.path)!r}))
for _ in range(2):
    mirror = Mirror(read_alone(folder), folder, TrackingConfig(), target=True)
    mirror.follow({{"step": 40, "time": 1.0}})
    mirror.publish()
    assert mirror.failed
"""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = {**os.environ, "WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40, "PYTHONPATH": os.getcwd()}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        spent = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not logged to W&B") == 2
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import wandb; from experiments.tracking import Mirror"], check=True)
    assert spent - (time.monotonic() - began) < 10


class Hanging(FakeWandb):
    """A run whose upload never ends."""

    class settings:  # noqa: N801
        base_url = "http://127.0.0.1:9"

    def finish(self) -> None:
        threading.Event().wait(60)


def test_a_server_that_falls_silent_is_left(run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned = []
    monkeypatch.setitem(sys.modules, "wandb", Hanging())  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr("experiments.tracking._abandon", lambda: abandoned.append(True))
    monkeypatch.setattr("experiments.wandb_server.PROBE_SECONDS", 0.1)
    mirror = Mirror(run, folder, TrackingConfig(mode="online"), target=True)
    mirror.follow({"step": 40, "time": 1.0})
    mirror._close()
    assert mirror.failed
    assert abandoned == [True]
