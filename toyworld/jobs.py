"""The pieces of work a toy world is made of; each is done when its last file exists, and depends on nothing else."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np
import torch
from PIL import Image

from conventions.files import atomic_file
from datamodules.video_writer import write_video
from toyworld.actors import Actor, make_actor, render_frames
from toyworld.media import write_m4a, write_mat
from toyworld.pairs import is_joined, part_path, write_part
from toyworld.performance import perform
from toyworld.pictures import CROP_SCALE, Role
from toyworld.plan import ClipSpec
from toyworld.tracker import measured

PORTRAIT_SIZE = 256


@cache
def _actor(name: str, seed: int) -> Actor:
    return make_actor(name, seed)


@dataclass(frozen=True)
class ClipJob:
    """A clip: m4a, then mat, then mp4."""

    clip: ClipSpec
    seed: int
    size: int

    def is_done(self, root: Path) -> bool:
        """Whether the mp4 is there."""
        return (root / self.clip.video).is_file()

    def run(self, root: Path) -> None:
        """Perform, render and encode the clip."""
        clip = self.clip
        actor = _actor(clip.actor, self.seed)
        shown = perform(
            clip.actor, actor.coefficients, clip.text, clip.emotion, clip.level, self.seed, number=clip.number
        )
        frames = render_frames(actor, shown.coefficients, shown.placement, self.size)
        write_m4a(root / clip.audio, shown.utterance.waveform)
        named = (clip.actor, clip.emotion, str(clip.level), str(clip.number))
        tracked = measured(shown.coefficients, shown.placement, self.seed, named)
        sidecar = (root / clip.video).with_suffix(".mat")
        write_mat(sidecar, tracked, shown.placement, self.size, exact=shown.coefficients)
        write_video(root / clip.video, frames)


@dataclass(frozen=True)
class PortraitJob:
    """A portrait of someone who is in no clip: mat, then png."""

    name: str
    seed: int

    def is_done(self, root: Path) -> bool:
        """Whether the png is there."""
        return (root / "portraits" / f"{self.name}.png").is_file()

    def run(self, root: Path) -> None:
        """Render a face at rest, a little turned for every second person."""
        actor = _actor(self.name, self.seed)
        rows, place = actor.coefficients[None], np.array([[CROP_SCALE, 0.0, 0.02]], np.float32)
        frame = render_frames(actor, rows, place, PORTRAIT_SIZE)[0]
        write_mat(root / "portraits" / f"{self.name}.mat", rows, place, PORTRAIT_SIZE)
        with atomic_file(root / "portraits" / f"{self.name}.png") as file:
            Image.fromarray(frame).save(file, format="png")


@dataclass(frozen=True)
class PairsJob:
    """A part of the captioned images of a role."""

    role: Role
    part: int
    people: int
    seed: int

    def is_done(self, root: Path) -> bool:
        """Whether the part, or the whole it went into, is there."""
        return part_path(root, self.role, self.part).is_file() or is_joined(root, self.role)

    def run(self, root: Path) -> None:
        """Make the part."""
        write_part(root, self.role, self.part, self.people, self.seed)


Job = ClipJob | PortraitJob | PairsJob
"""One piece of work: `is_done(root)` looks for the file that `run(root)` writes last."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: sums in one order, hence the same bytes in any process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_worker() -> None:
    """End this worker when its parent is gone, however it went."""
    torch.set_num_threads(1)
    parent = parent_process()
    assert parent is not None
    Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _run_all(jobs: list[Job], root: Path) -> int:
    for job in jobs:
        job.run(root)
    return len(jobs)


def run_jobs(jobs: list[Job], root: Path, workers: int, batch: int = 6) -> Iterator[int]:
    """Run jobs on `workers` processes (1 = this one); yields how many more are done, as they are."""
    batches = [jobs[i : i + batch] for i in range(0, len(jobs), batch)]
    if workers == 1 or len(batches) < 2:
        with _one_thread():
            yield from (_run_all([job], root) for job in jobs)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(batches)), mp_context=context, initializer=_start_worker) as pool:
        futures = [pool.submit(_run_all, each, root) for each in batches]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            running = list(pool._processes.values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:  # files are written whole: the next call removes what a job leaves, and repeats it
                process.kill()
            raise
