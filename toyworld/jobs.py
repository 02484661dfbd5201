"""The pieces of work a toy world is made of; each is done when its last file exists, and depends on nothing else.

A toy clip has the files of MEAD: an m4a (AAC, 48 kHz, stereo), an mp4, and a `.mat` as PIRenderer has it; the same
bytes every time.
"""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import av
import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from scipy.io import savemat

from conventions.files import atomic_file, write_bytes
from datamodules.clip_face import one_thread
from datamodules.video_writer import write_video
from face3d.morphable import PROCEDURAL
from toyworld.actors import Actor, make_actor, render_frames
from toyworld.pairs import CROP_SCALE, Role, is_joined, part_path, write_part
from toyworld.performance import perform
from toyworld.plan import ClipSpec
from toyworld.speech import FILE_RATE
from toyworld.tracker import measured

DEEP3D_SIZE = 224
_MAT_HEADER = b"MATLAB 5.0 MAT-file, synthetic coefficients of the emospace toy world".ljust(116)
"""SciPy would write the date here."""


def write_m4a(path: Path, waveform: Float32[np.ndarray, " n"]) -> None:
    """Write 48 kHz mono samples in [-1, 1] as stereo AAC."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=FILE_RATE, layout="stereo", options={"aac_coder": "fast"})
        stream.bit_rate = 96_000
        stereo = np.ascontiguousarray(np.stack([waveform, waveform]))
        frame = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = FILE_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_bytes(path, buffer.getvalue())


def transform_params(placement: Float[np.ndarray, "t 3"], size: int) -> Float32[np.ndarray, "t 5"]:
    """Deep3DFaceRecon's (w0, h0, s, t0, t1) of images of `size` pixels whose camera frame lies at `placement`.

    A pixel (x, y) of the image is (x - t0) s + 112, (y - (h0 - t1)) s + 112 of the 224 frame.
    """
    scale, x, y = placement.T
    sides = np.full_like(scale, size)
    across, down = (x + 1) * size / 2, (y + 1) * size / 2
    return np.stack([sides, sides, DEEP3D_SIZE / (scale * size), across, size - down], axis=1).astype(np.float32)


def write_mat(
    path: Path,
    coefficients: Float32[np.ndarray, "t 257"],
    placement: Float[np.ndarray, "t 3"],
    size: int,
    exact: Float32[np.ndarray, "t 257"] | None = None,
) -> None:
    """Write `coeff`, `transform_params` and `model` (the morphable model's name) of a clip.

    `exact` is what the clip was rendered from where `coefficients` are what a tracker would measure.
    """
    buffer = io.BytesIO()
    content = {"coeff": coefficients, "transform_params": transform_params(placement, size), "model": PROCEDURAL}
    content |= {} if exact is None else {"exact": exact}
    savemat(buffer, content, do_compression=True)
    write_bytes(path, _MAT_HEADER + buffer.getvalue()[116:])


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
        with one_thread():
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
