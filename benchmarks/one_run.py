"""What one run costs beside its training: from its process's start to its first batch, and the engine in each step.

Run it in the folder in which `make demo` has finished: `python -m benchmarks.one_run`. EAC and HEF begin anew on the
demo's finished parents; each is stopped after STEPS batches, from which the step's own time is taken.
"""

import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from datamodules.endless import EndlessData, MakeBatch
from experiments.graph import compose, plan
from experiments.progress import Interruption, Progress, heartbeat
from experiments.rundir import RunFolder, read_history
from experiments.schema import TrainerConfig
from experiments.stage import StageRun, Work
from experiments.training import train
from lightning_modules.training.stage import StageModule

ROOT = Path(__file__).parents[1]
STEPS, BARE_STEPS, REPEATS = 20, 400, 3
BOUND_START_S, BOUND_SHARE = 8, 0.01


def start(stage: str, runs: Path) -> tuple[float, float, float]:
    """Seconds from process start to the first batch's end, CPU seconds till then, median seconds of a later step."""
    words = ["demo", "--stage", stage, "--runs", str(runs), f"{stage}.steps=100000", "trainer.log_every=1"]
    before, began = set(runs.iterdir()), time.time()
    path = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "emospace.cli", "run", *words, "tracking.mode=disabled"]
    process = subprocess.Popen(
        command, env={**os.environ, **path}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    rows: list[dict[str, float]] = []
    used = 0.0
    while len(rows) < STEPS and process.poll() is None:
        time.sleep(0.2)
        if not rows:
            used = sum(psutil.Process(process.pid).cpu_times()[:2])
        rows = [row for folder in set(runs.iterdir()) - before for row in read_history(folder / "history.jsonl")]
    process.send_signal(signal.SIGTERM)
    process.wait()
    if len(rows) < STEPS:
        sys.exit(f"emospace run {' '.join(words)}: exit code {process.returncode}")
    times = [row["time"] for row in rows]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return times[0] - began, used, statistics.median(steps)


@dataclass(frozen=True)
class NothingConfig:
    steps: int = BARE_STEPS


class Nothing(StageModule):
    """A step that costs next to nothing and logs as many scalars as HEF's does."""

    def __init__(self) -> None:
        super().__init__(NothingConfig())
        self.net = nn.Linear(4, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.net(batch).square().mean()
        self.log_scalars({f"loss{i}": loss for i in range(11)})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def ones(number: int) -> Tensor:
    """Any batch."""
    return torch.ones(2, 4)


class Batches(EndlessData):
    """Endless equal batches."""

    def batch_maker(self) -> MakeBatch:
        return ones  # pyright: ignore[reportReturnType]


def with_engine(run: StageRun, root: Path) -> float:
    """CPU seconds of a step through the engine's own `train`, heartbeat, history and checkpoints included."""
    folder = RunFolder(root / f"{run.id}.{time.monotonic_ns()}")
    folder.path.mkdir()
    folder.set_status("running")
    work = Work(run, root, folder, Progress(folder.id, BARE_STEPS), Interruption())
    began = time.process_time()
    with heartbeat(folder, work.progress):
        train(Nothing(), Batches(), work, TrainerConfig(accelerator="cpu"), start="")
    return (time.process_time() - began) / BARE_STEPS


def bare(root: Path) -> float:
    """CPU seconds of the same step in a Lightning loop without logger, callbacks and checkpoints."""
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", devices=1, max_steps=BARE_STEPS, default_root_dir=root, **off)
    began = time.process_time()
    trainer.fit(Nothing(), datamodule=Batches())
    return (time.process_time() - began) / BARE_STEPS


def checkpoint_seconds(weights: Path, root: Path) -> float:
    """Seconds to write three times a stage's weights (weights and Adam's two moments), as a checkpoint holds them."""
    state = torch.load(weights, weights_only=True)["state_dict"]
    began = time.perf_counter()
    torch.save([state, {k: v.clone() for k, v in state.items()}, {k: v.clone() for k, v in state.items()}], root / "x")
    return time.perf_counter() - began


def main() -> None:
    """Print each figure beside its bound."""
    warnings.filterwarnings("ignore")
    demo = {run.stage: run for run in plan(compose("demo"))}
    if any(demo[stage].folder(Path("runs")).state() != "done" for stage in ("eac", "hef")):
        sys.exit("runs/: holds no EAC and HEF of the demo; `make demo` first")
    with tempfile.TemporaryDirectory(prefix="emospace-one-run-") as name:
        root = Path(name)
        pairs = [(with_engine(demo["eac"], root), bare(root)) for _ in range(REPEATS)]
        extra = sorted(engine - alone for engine, alone in pairs)
        own = statistics.median(extra)
        spread = f"{1e6 * extra[0]:.0f} to {1e6 * extra[-1]:.0f}"
        print(f"engine in a step: {1e6 * own:.0f} us CPU ({spread}); bare: {1e6 * min(p[1] for p in pairs):.0f}")
        runs = root / "runs"
        shutil.copytree("runs", runs, ignore=shutil.ignore_patterns("wandb", "samples", ".logs"))
        for stage in ("eac", "hef"):
            first, used, step = start(stage, runs)
            weights = demo[stage].folder(Path("runs")).checkpoints / "final.pt"
            saving = checkpoint_seconds(weights, root) / TrainerConfig().checkpoint_every
            share = (own + saving) / step
            print(
                f"{stage}: first batch done {first:.1f} s after process start (bound {BOUND_START_S}), {used:.1f} s CPU"
            )
            share_line = f"{100 * share:.2f} % of a step of {1e3 * step:.0f} ms (bound {100 * BOUND_SHARE:.0f} %)"
            print(f"{stage}: engine {share_line}, checkpoints each {TrainerConfig().checkpoint_every} batches included")


if __name__ == "__main__":
    main()
