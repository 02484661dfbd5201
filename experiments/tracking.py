"""Weights & Biases as a projection of the run folder. Only this module imports wandb; nothing it does can fail a run.

An offline run is written once, when its stage has ended, from the folder's own files: no gaps and no doubles however
often the run was interrupted. An online run also shows its scalars while it trains.
"""

import contextlib
import csv
import os
from collections.abc import Callable, Iterator
from typing import Any

from conventions.errors import MissingPackage
from experiments.graph import StageRun
from experiments.history import Row
from experiments.identity import canonical
from experiments.progress import say
from experiments.rundir import RunFolder, read_history
from experiments.schema import TrackingConfig

AGENT_VARIABLES = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
"""What `wandb agent` sets for the one run that it waits for."""

NOT_SCALARS = {"step", "time"}


class Mirror:
    """One W&B run of one stage run. Every failure is one warning, after which the mirror stays silent."""

    def __init__(self, run: StageRun, folder: RunFolder, config: TrackingConfig, target: bool) -> None:
        self.run, self.folder, self.config = run, folder, config
        self.in_agent = "WANDB_SWEEP_ID" in os.environ
        self.reported = target
        self.mode = _mode(config, self.in_agent and target)
        self._wandb_run: Any = None
        self._broken = self.mode == "disabled"

    def follow(self, row: Row) -> None:
        """A new row of history.jsonl: sent at once when online."""
        if self.mode == "online":
            self._try(lambda: self._log(row))

    def publish(self) -> None:
        """Everything in the finished folder: curves (when offline), metrics, the table of clips, samples, weights."""
        self._try(self._publish)
        self._try(self._finish)

    def _publish(self) -> None:
        if self.mode == "offline":
            for row in read_history(self.folder.history):
                self._log(row)
        live = self._live()
        metrics = self.folder.read("metrics.json").get("metrics", {})
        live.summary.update({f"test/{name}": value for name, value in metrics.items()})
        self._media(live)
        self._lineage(live)

    def _log(self, row: Row) -> None:
        values = {name: value for name, value in row.items() if name not in NOT_SCALARS and value is not None}
        self._live().log({**values, "batch": row["step"]}, step=int(row["step"]))

    def _media(self, live: Any) -> None:
        import wandb

        media: dict[str, Any] = {}
        for path in sorted(self.folder.samples.glob("*.mp4")):
            media[f"samples/{path.stem}"] = wandb.Video(str(path), format="mp4")
        for path in sorted(self.folder.samples.glob("*.png")):
            media[f"samples/{path.stem}_strip"] = wandb.Image(str(path))
        table = self.folder.path / "per_clip.csv"
        if table.exists():
            with table.open(newline="") as file:
                columns, *rows = list(csv.reader(file))
            media["per_clip"] = wandb.Table(
                columns=list[Any](columns), data=[[_number(cell) for cell in row] for row in rows]
            )
        if media:
            live.log(media)

    def _lineage(self, live: Any) -> None:
        """The stage's weights as an artifact; in an online run, its parents' as inputs."""
        import wandb

        weights = self.folder.checkpoints / "final.pt"
        if weights.exists():
            facts = {"hash": self.run.hash, "parents": {role: run.id for role, run in self.run.parents.items()}}
            artifact = wandb.Artifact(_artifact_name(self.run.id), type="weights", metadata=facts)
            artifact.add_file(str(weights), policy="immutable")  # no second copy outside the run folder
            live.log_artifact(artifact)
        if self.mode == "online":
            for parent in self.run.parents.values():
                live.use_artifact(f"{_artifact_name(parent.id)}:latest")

    def _live(self) -> Any:
        if self._wandb_run is None:
            self._wandb_run = self._start()
        return self._wandb_run

    def _start(self) -> Any:
        wandb = _wandb()
        run = self.run
        with _outside_agent(leave=self.in_agent and not self.reported), _environment_kept():
            return wandb.init(
                project=self.config.project,
                entity=self.config.entity or None,
                name=run.id,
                id=None if self.in_agent and self.reported else run.id,
                group=f"{run.config.name}.{run.variant}",
                job_type=run.stage,
                tags=[run.variant, f"seed{run.seed}", run.stage],
                config={"hash": run.hash, "variant": run.variant, **canonical(run.config)},
                dir=str(self.folder.path),
                mode=self.mode,
                resume="allow" if self.mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", disable_git=True),
            )

    def _finish(self) -> None:
        if self._wandb_run is not None:
            self._wandb_run.finish()
            self._wandb_run = None

    def _try(self, action: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            action()
        except Exception as error:
            self._broken = True
            first = (str(error).splitlines() or [""])[0]
            say(f"{self.run.id}: W&B left out ({type(error).__name__}: {first}); the run folder is complete")


def _mode(config: TrackingConfig, needs_server: bool) -> str:
    if config.mode != "auto":
        return config.mode
    return "online" if needs_server or os.environ.get("WANDB_API_KEY") else "offline"


def _wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise MissingPackage("wandb", "dev", "tracking") from error
    return wandb


def _artifact_name(run: str) -> str:
    return run.replace(".", "_")


def _number(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


@contextlib.contextmanager
def _outside_agent(leave: bool) -> Iterator[None]:
    """Keep a parent's run from taking the run id that the agent gave to the run it waits for."""
    kept = {name: os.environ.pop(name) for name in AGENT_VARIABLES if name in os.environ} if leave else {}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """wandb must not leave WANDB_MODE and the like behind for later runs of this process."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            if name.startswith("WANDB") and name != "WANDB_SERVICE":
                del os.environ[name]
