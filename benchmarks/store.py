"""A random 16-frame clip at 256 px: read from the store, against decoding it with PyAV from an mp4.

python -m benchmarks.store [CLIP.mp4] [--mat CLIP.mat]

The mp4 is the source itself (seek to the key frame before, decode up to the last frame that is wanted, all as RGB), and
a second one that holds just the stored crops. Without CLIP a full-HD clip of 100 frames is made up: a soft texture that
drifts, with camera noise, by x264 with its usual key frame every 250. Files are in the page cache.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import scipy.io

from datamodules.prepare import prepare
from datamodules.store import Store
from datamodules.video import iterate_frames, probe
from datamodules.video_writer import VideoWriter, write_video

FRAMES = 16
SIZE = 256
DRAWS = 40
FACE_SHARE = 0.5
"""Side of a made-up face's camera window over the image's height."""


def write_source(path: Path, frames: int = 100, height: int = 1080, width: int = 1920) -> None:
    """A full-HD clip of a texture that drifts under noise."""
    random = np.random.default_rng(0)
    coarse = random.integers(40, 200, (height // 40 + 2, width // 40 + 8, 3)).astype(np.uint8)
    texture = coarse.repeat(40, 0).repeat(40, 1)
    noise = random.integers(0, 8, (height, width, 3), dtype=np.uint8)
    with VideoWriter(path, height, width) as writer:
        for number in range(frames):
            piece = texture[number // 4 : number // 4 + height, 2 * number : 2 * number + width]
            writer.add_frames((piece + np.roll(noise, 37 * number, axis=1))[None])


def write_mat(path: Path, clip: Path) -> None:
    """Coefficients for a face in the middle of the image."""
    info, rows = probe(clip), sum(1 for _ in iterate_frames(clip))
    window = 224 / (FACE_SHARE * info.height)
    params = np.tile(np.array([info.width, info.height, window, info.width / 2, info.height / 2]), (rows, 1))
    scipy.io.savemat(path, {"coeff": np.zeros((rows, 257)), "transform_params": params})


def decode(path: Path, first: int) -> np.ndarray:
    """`FRAMES` frames from number `first` on, as a loader that reads mp4 would get them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base, rate = stream.time_base, stream.average_rate
        assert base is not None
        assert rate is not None
        start = stream.start_time or 0
        wanted = start + round(first / rate / base)
        container.seek(wanted, stream=stream)
        pictures = []
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= wanted:
                pictures.append(frame.to_ndarray(format="rgb24"))
            if len(pictures) == FRAMES:
                break
    return np.stack(pictures)


def milliseconds(action: Callable[[int], np.ndarray], firsts: list[int]) -> np.ndarray:
    """[n, 2]: ms by the clock and of CPU time, all threads together."""
    taken = []
    for first in firsts:
        began, cpu = time.perf_counter(), time.process_time()
        assert len(action(first)) == FRAMES
        taken.append((time.perf_counter() - began, time.process_time() - cpu))
    return 1000 * np.array(taken)


def key_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.is_keyframe for packet in container.demux(video=0) if packet.pts is not None)


def compare(folder: Path) -> None:
    """Print each way's median beside the store's."""
    prepare(folder / "raw", folder / "store", coefficients="mat", size=SIZE, look=False)
    store = Store(folder / "store")
    clip = store.clips[0]
    write_video(folder / "crop.mp4", store.frames(clip, range(clip.length)))
    source = folder / "raw" / "clip.mp4"
    firsts = np.random.default_rng(0).integers(0, clip.length - FRAMES, DRAWS).tolist()
    ways: dict[str, Callable[[int], np.ndarray]] = {
        f"store ({SIZE} px)": lambda first: store.frames(clip, range(first, first + FRAMES)),
        f"crop's mp4 ({SIZE} px, {key_frames(folder / 'crop.mp4')} key frames)": lambda f: decode(
            folder / "crop.mp4", f
        ),
        f"source's mp4 ({probe(source).width} px, {key_frames(source)} key frames)": lambda f: decode(source, f),
    }
    print(f"{clip.length} frames, {DRAWS} random stretches of {FRAMES}; median ms (and as many times the store's)")
    reference = None
    for name, action in ways.items():
        clock, cpu = np.median(milliseconds(action, [firsts[0], *firsts])[1:], axis=0)
        reference = reference or (clock, cpu)
        print(f"{name}: clock {clock:.1f} ({clock / reference[0]:.1f} x), CPU {cpu:.1f} ({cpu / reference[1]:.1f} x)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--mat", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        source = folder / "raw" / "clip.mp4"
        if options.clip:
            shutil.copy(options.clip, source)
        else:
            write_source(source)
        if options.mat:
            shutil.copy(options.mat, source.with_suffix(".mat"))
        else:
            write_mat(source.with_suffix(".mat"), source)
        compare(folder)


if __name__ == "__main__":
    main()
