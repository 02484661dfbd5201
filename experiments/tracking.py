"""Weights & Biases as a projection of the run folder. Only this module imports wandb; nothing it does can fail a run.

An offline run is written whole when its stage has ended, from the folder's own files: no gaps and no doubles however
often the run was interrupted. An online run also shows its scalars while it trains; every row has its own fixed step,
so that what is sent twice lands on what is there.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from conventions.errors import MissingPackage
from experiments import wandb_server
from experiments.progress import say
from experiments.published import clip_table, facts_of, group_of, parents_of, samples_of, scalars_of, summary_of
from experiments.rundir import HistoryRow, RunFolder, read_history
from experiments.schema import TrackingConfig
from experiments.stage import StageRun

AGENT_VARIABLES = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
"""What `wandb agent` sets for the one run that it waits for."""

NAME_LENGTH, TAG_LENGTH = 128, 64
"""W&B refuses longer ones."""
STAGING = "artifacts/staging"
"""Where W&B keeps tables until they are uploaded, below WANDB_DATA_DIR."""
FINISH_SECONDS = 600.0
"""How long an upload may take after the run's own work; what is left then stays below `runs/<id>/wandb`."""


class Mirror:
    """One W&B run of one stage run. Every failure is one warning, after which the mirror stays silent."""

    def __init__(self, run: StageRun, folder: RunFolder, config: TrackingConfig, target: bool) -> None:
        self.run, self.folder, self.config = run, folder, config
        self.in_agent = "WANDB_SWEEP_ID" in os.environ
        self.reported = target
        self.mode = wandb_server.mode_of(config, self.in_agent and target)
        self._files = Path(os.environ.get("WANDB_DIR") or folder.path)
        self.failed = False
        self._wandb_run: Any = None
        self._sent = -1
        """Last step of the history that W&B was given."""
        self._parts: set[tuple[int, frozenset[str]]] = set()
        """Rows of that step that W&B was given."""

    def follow(self, row: HistoryRow) -> None:
        """A new row of history.jsonl: sent at once when online, with those that an earlier process wrote."""
        if self.mode == "online" and not self.failed:
            self._try(lambda: self._send([row]))

    def publish(self) -> None:
        """Everything in the finished folder: curves, metrics, the table of clips, samples, weights.

        What is written offline replaces what was: a run folder holds one offline run, however often this is done.
        """
        if self.mode == "disabled":
            return
        with _replacing(self._offline_files, lambda: self.mode == "offline" and not self.failed):
            if not self.failed:
                self._try(self._publish)
            self._close()

    def _offline_files(self) -> set[Path]:
        """Files of this run's offline runs; below WANDB_DIR those of other runs lie beside them."""
        place = self._files / "wandb"
        if self._files != self.folder.path:
            return set(place.glob(f"offline-run-*-{self.run.id}"))
        return {*place.glob("offline-run-*"), *(place / STAGING).glob("*")}

    def _publish(self) -> None:
        live = self._live()
        live.summary.update(summary_of(self.folder))
        if media := self._media():
            live.log(media, step=self._sent + 1)
        self._lineage(live)

    def _send(self, rows: Sequence[HistoryRow]) -> None:
        live = self._live()
        for row in rows:
            step, part = int(row["step"]), (int(row["step"]), frozenset(row))
            if step >= self._sent and part not in self._parts:  # training and validation share a step
                self._parts = {part} | (self._parts if step == self._sent else set())
                shown = self._pictures(step) if any(name.startswith("val/") for name in row) else {}
                live.log({**scalars_of(row), **shown, "batch": step, "_timestamp": row["time"]}, step=step)
                self._sent = step

    def _pictures(self, step: int) -> dict[str, Any]:
        """The images of validation clips that training wrote after so many batches, if it did."""
        path = self.folder.strip(step)
        return {"val/pictures": _wandb().Image(str(path))} if path.is_file() else {}

    def _media(self) -> dict[str, Any]:
        import wandb

        videos, pictures = samples_of(self.folder)
        media: dict[str, Any] = {name: wandb.Video(str(path), format="mp4") for name, path in videos.items()}
        media |= {name: wandb.Image(str(path)) for name, path in pictures.items()}
        if (table := clip_table(self.folder)) is not None:
            media["per_clip"] = wandb.Table(columns=list[Any](table[0]), data=table[1])
        return media

    def _lineage(self, live: Any) -> None:
        """The stage's weights as an artifact that names its parents; in an online run, they are also its inputs."""
        import wandb

        weights = self.folder.checkpoints / "final.pt"
        parents = parents_of(self.folder)
        if weights.exists():
            facts = {"hash": self.run.hash, "parents": parents}
            artifact = wandb.Artifact(_artifact_name(self.run.id), type="weights", metadata=facts)
            artifact.add_file(str(weights), policy="immutable")  # no second copy outside the run folder
            live.log_artifact(artifact)
        if self.mode == "online":
            for role, parent in parents.items():
                try:
                    live.use_artifact(f"{_artifact_name(parent)}:latest")
                except Exception:
                    say(f"{self.run.id}: W&B has no weights of its {role}; `emospace wandb publish {parent}` uploads")

    def _live(self) -> Any:
        """The W&B run; on its start it is given what history.jsonl holds already."""
        if self._wandb_run is None:
            self._wandb_run = wandb_server.started(self._start) if self.mode == "online" else self._start()
            self._send(read_history(self.folder.history))
        return self._wandb_run

    def _start(self) -> Any:
        run, config = self.run, self.config
        own_project = config.project != TrackingConfig().project
        tags = [run.variant, f"seed{run.seed}", *(f"{k}={v}" for k, v in run.fields.items())]
        with _outside_agent(leave=self.in_agent and not self.reported), _environment_kept():
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it would wait for a silent server at the end
            wandb = _wandb()
            return wandb.init(
                project=config.project if own_project else os.environ.get("WANDB_PROJECT") or config.project,
                entity=config.entity or os.environ.get("WANDB_ENTITY") or None,
                name=run.title[:NAME_LENGTH],
                id=None if self.in_agent and self.reported else run.id,
                group=group_of(run, self.folder),
                job_type=run.stage,
                tags=[tag[:TAG_LENGTH] for tag in tags],
                config=facts_of(run, self.folder),
                dir=str(self._files),
                mode=self.mode,
                resume="allow" if self.mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    disable_git=True,
                    init_timeout=wandb_server.START_SECONDS,
                    finish_timeout=FINISH_SECONDS,
                    finish_timeout_raises=True,
                    x_disable_stats=self.mode == "offline",
                    x_save_requirements=False,
                ),
            )

    def _close(self) -> None:
        """Finish W&B's run, also one that failed: left open, it would hold up the end of the process."""
        live, self._wandb_run = self._wandb_run, None
        if live is not None:
            self._try(lambda: wandb_server.finish(live, _abandon) if self.mode == "online" else live.finish())

    def _try(self, action: Callable[[], None]) -> None:
        try:
            with _staging_in(self._files / "wandb"):
                action()
        except Exception as error:
            if not self.failed:
                first = (str(error).splitlines() or [""])[0]
                why = f"{type(error).__name__}: {first}"
                say(f"{self.run.id}: not logged to W&B ({why}); `emospace wandb publish` uploads the finished run")
            self.failed = True


def server_address() -> str:
    """The address of W&B's server: WANDB_BASE_URL, else that of `wandb login`, else the public one."""
    return _wandb().setup().settings.base_url


def _wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise MissingPackage("wandb", "dev", "tracking") from error
    return wandb


def _abandon() -> None:
    """End W&B's service process: left alone, it would hold up the end of this one."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.name().startswith("wandb-core"):
                child.kill()
    with contextlib.suppress(Exception):
        _wandb().teardown()


def _artifact_name(run: str) -> str:
    return run.replace(".", "_")


@contextlib.contextmanager
def _replacing(offline: Callable[[], set[Path]], whole: Callable[[], bool]) -> Iterator[None]:
    """Keep one offline run's files: those that the block writes when it is `whole`, else those before it."""
    earlier = offline()
    yield
    for path in earlier if whole() else offline() - earlier:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _staging_in(place: Path) -> Iterator[None]:
    """W&B keeps an offline run's tables in the user's home unless a place is set: here, beside the run."""
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = before or str(place.resolve())
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("WANDB_DATA_DIR", None)


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
