"""Time and memory of `emospace score` on a clip that is repeated until it has the wanted length.

python -m benchmarks.score VIDEO [--weights WEIGHTS] [--seconds 20] [--size 256]

Scores the repeated clip against a copy that was encoded once more, with the published networks that are here, and
prints seconds of processor time and of the clock a second of video, and the most memory held.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from conventions.rates import VIDEO_FPS
from datamodules.audio import read_audio
from datamodules.video import iterate_frames
from datamodules.video_writer import write_video
from emospace.scoring.pairs import Pair, Pairs
from emospace.scoring.score import score


def repeated(video: Path, seconds: float, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Frames to and fro, at `size` px where given, and the audio as often as it fits."""
    frames = [frame.rgb() for frame in iterate_frames(video)]
    if size is not None:
        frames = [np.asarray(Image.fromarray(frame).resize((size, size))) for frame in frames]
    there_and_back = [*frames, *frames[-2:0:-1]]
    count = round(seconds * VIDEO_FPS)
    chosen = [there_and_back[index % len(there_and_back)] for index in range(count)]
    audio = read_audio(video)
    return np.stack(chosen), np.resize(audio, count * 640)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--size", type=int, help="side in px to which square frames are brought; else as they are")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "made.mp4", Path(folder) / "true.mp4"
        frames, audio = repeated(options.video, options.seconds, options.size)
        shape = f"{frames.shape[2]} x {frames.shape[1]} px, {len(frames)} frames"
        for path, crf in zip(paths, (28, 12), strict=True):
            write_video(path, frames, audio=audio, crf=crf)
        del frames
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        clock, processor = time.perf_counter(), time.process_time()
        scores = score(Pairs([Pair("clip", *paths)], [], []), "benchmark", options.weights)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{shape}; networks: {', '.join(scores.facts['backbones'].values())}")
    for name, value in (("processor", processor), ("clock", clock)):
        print(f"{name}: {value:.1f} s, {value / options.seconds:.2f} s a second of video")
    print(f"memory: {most:.2f} GiB at most ({before:.2f} before scoring)")


if __name__ == "__main__":
    main()
