"""Run folders as a local Trackio project, which `trackio show` opens. Needs the optional package trackio."""

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from typing import Any

from conventions.errors import MissingPackage, UserError
from experiments.published import clip_table, facts_of, group_of, samples_of, scalars_of, tested
from experiments.rundir import RunFolder, read_history
from experiments.stage import StageRun

ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


def publish(run: StageRun, folder: RunFolder, project: str) -> bool:
    """Write one finished run into the project, in place of what an earlier call wrote; whether it is there then.

    Curves have the axis of trained batches. Metrics, samples and the table of clips stand at the last batch. Trackio
    groups runs by config keys of the first level: variant, stage, seed and the fields given on the command line.
    """
    trackio = _trackio()
    name = f"{run.stage} {run.variant} s{run.seed} {folder.digest}"
    with contextlib.redirect_stdout(io.StringIO()), _local():
        _remove(trackio, project, name)
        live = _start(trackio, run, folder, project, name)
        last = 0
        for row in read_history(folder.history):
            last = int(row["step"])
            live.log(scalars_of(row), step=last)
        live.log({**tested(folder), **_media(trackio, folder)}, step=last)
        trackio.finish()
    return any(one.name == name for one in trackio.Api().runs(project))


def _start(trackio: Any, run: StageRun, folder: RunFolder, project: str, name: str) -> Any:
    try:
        return trackio.init(
            project=project,
            name=name,
            group=group_of(run, folder),
            config={"run": folder.id, "title": run.title, **facts_of(run, folder), **run.fields},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
    except ValueError as error:
        raise UserError(f"project {project!r}: {error}") from error


@contextlib.contextmanager
def _local() -> Iterator[None]:
    """Hide the variables with which Trackio sends runs to a server instead."""
    hidden = {name: os.environ.pop(name) for name in ELSEWHERE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _media(trackio: Any, folder: RunFolder) -> dict[str, Any]:
    videos, pictures = samples_of(folder)
    media = {name: trackio.Video(path, caption=path.stem) for name, path in videos.items()}
    media |= {name: trackio.Image(path, caption=path.stem) for name, path in pictures.items()}
    if (table := clip_table(folder)) is not None:
        media["per_clip"] = trackio.Table(columns=table[0], data=table[1])
    return media


def _remove(trackio: Any, project: str, name: str) -> None:
    """Delete an earlier copy of a run, with its media, which Trackio leaves behind."""
    from trackio.media import get_project_media_path  # pyright: ignore[reportMissingImports]

    with contextlib.suppress(ValueError):  # there is no such project yet
        for earlier in trackio.Api().runs(project):
            if earlier.name == name:
                earlier.delete()
                shutil.rmtree(get_project_media_path(project=project, run=name), ignore_errors=True)


def _trackio() -> Any:
    try:
        import trackio  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackage("trackio", "trackio", "--to trackio") from error
    return trackio
