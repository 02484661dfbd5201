"""Which process trains what: by the variables of each launcher, and by real processes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from small_training import CONFIG, Line, run

from experiments.launch import LAUNCH, find_launch, leading
from experiments.rundir import RunFolder, list_runs, read_history
from experiments.schema import TrainerConfig

ROOT = Path(__file__).parents[2]
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_PORT": "29500"}
SRUN = {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "2", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4"}
OWN = {LAUNCH: "a1b2", "LOCAL_RANK": "3"}
LEFT_OVERS = {**TORCHRUN, **SRUN, "NODE_RANK": "1", "GROUP_RANK": "1"}


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN, OWN], ids=["torchrun", "srun", "lightning"])
def test_a_launcher_names_rank_and_launch(variables: Mapping[str, str]) -> None:
    config = TrainerConfig(devices=2, num_nodes=2)
    launch = find_launch(config, variables)
    assert launch.rank == 3
    rank = {"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    if variables is not OWN:  # Lightning's own rank 0 is the process that made the name
        first = find_launch(config, {**variables, **{name: rank[name] for name in variables.keys() & rank.keys()}})
        assert (first.rank, first.name) == (0, launch.name)


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN, OWN, LEFT_OVERS], ids=["torchrun", "srun", "lightning", "all"])
def test_one_process_is_rank_0_under_every_launcher(variables: Mapping[str, str]) -> None:
    assert find_launch(TrainerConfig(), variables).rank == 0


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
def test_a_launcher_of_another_size_is_not_of_this_run(variables: Mapping[str, str]) -> None:
    assert find_launch(TrainerConfig(devices=2), variables).rank == 0


def test_two_launches_have_two_names() -> None:
    config = TrainerConfig(devices=2, num_nodes=2)
    assert find_launch(config, {}).name != find_launch(config, {}).name
    assert find_launch(config, SRUN).name != find_launch(config, {**SRUN, "SLURM_STEP_ID": "3"}).name
    assert find_launch(config, SRUN).name != find_launch(config, {**SRUN, "SLURM_RESTART_COUNT": "1"}).name


def test_the_environment_is_as_before_after_leading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "7")
    monkeypatch.delenv("MASTER_PORT", raising=False)
    before, config = dict(os.environ), TrainerConfig(devices=2)
    with leading(config, find_launch(config)):
        assert "RANK" not in os.environ
        assert os.environ["MASTER_PORT"].isdigit()
    assert dict(os.environ) == before


def test_one_process_trains_the_same_whatever_a_launcher_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, crowded = RunFolder(tmp_path / "alone"), RunFolder(tmp_path / "crowded")
    modules = [Line(), Line()]
    run(alone, modules[0])
    for name, value in LEFT_OVERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    run(crowded, modules[1], config=CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in modules), strict=True))
    curves = [[{**row, "time": 0} for row in read_history(folder.history)] for folder in (alone, crowded)]
    assert curves[0] == curves[1] != []


WORDS = [
    *("world.preset=tiny", "prior.clip.steps=2", "judges.critics.steps=2", "ame.steps=3", "eac.steps=3", "hef.steps=3"),
    *("trainer.devices=2", "trainer.accelerator=cpu", "trainer.log_every=1", "trainer.checkpoint_every=2"),
    "tracking.mode=disabled",
]


STARTS = {
    "lightning": [sys.executable],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"],
    "srun": ["srun", "--overcommit", "--ntasks", "2", sys.executable],
}


def start(folder: Path, *words: str, launcher: str = "lightning") -> None:
    """`emospace run demo` with two processes; it must succeed."""
    command = [*STARTS[launcher], "-m", "emospace.cli", "run", "demo", *WORDS, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_keep_the_best_checkpoint(tmp_path: Path) -> None:
    start(tmp_path, "--stage", "eac", "ame.steps=0", "trainer.val_every=1", "trainer.monitor=val/loss")
    (found,) = [one for one in list_runs(tmp_path / "runs") if one.stage == "eac"]
    assert found.state == "done"
    assert (RunFolder(tmp_path / "runs" / found.id).checkpoints / "best.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", STARTS)
def test_two_processes_train_every_network(tmp_path: Path, launcher: str) -> None:
    """Each rank asserts at the end of each training that both have equal weights and buffers."""
    if launcher == "srun" and not (shutil.which("srun") and os.environ.get("SLURM_CONF")):
        pytest.skip("needs a running Slurm: srun on the path, SLURM_CONF set")
    for stage in ("eac", "hef"):
        start(tmp_path, "--stage", stage, launcher=launcher)
    found = {one.stage: one for one in list_runs(tmp_path / "runs")}
    for stage in ("ame", "eac", "hef"):
        assert found[stage].state == "done"
        folder = RunFolder(tmp_path / "runs" / found[stage].id)
        steps = [row["step"] for row in read_history(folder.history) if "train/lr" in row or "train/lr/1" in row]
        assert steps == [1, 2, 3]
