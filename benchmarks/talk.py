"""What `emospace talk` costs as the speech grows: peak memory of its process and frames a second.

Run it in the folder in which `make demo` has finished: `python -m benchmarks.talk`. One portrait and one driving clip
of the toy world; each length in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

from conventions.rates import SAMPLE_RATE

WORLD = Path("work/toy-mead")


def write_speech(path: Path, seconds: int) -> None:
    """Noise, second by second, so that writing it takes no memory that would count."""
    second = np.random.default_rng(0).integers(-3000, 3000, SAMPLE_RATE).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for _ in range(seconds):
            file.writeframes(second)


def measure(seconds: int) -> None:
    """One talking face in this process; a JSON line with its cost."""
    from emospace.talker import Talker, newest_run

    clip = min(WORLD.glob("*/video/front/*/*/*.mp4"))
    with tempfile.TemporaryDirectory() as folder:
        speech, out = Path(folder) / "speech.wav", Path(folder) / "out.mp4"
        write_speech(speech, seconds)
        talker = Talker(newest_run(Path("runs")))
        began = time.perf_counter()
        report = talker.talk(WORLD / "portraits" / "W101.png", speech, "very happy", out, pose=clip)
        took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": round(peak), "frames_a_second": round(report.frames / took, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60, 600], help="lengths of the speech")
    options = parser.parse_args()
    if len(options.seconds) == 1:
        measure(options.seconds[0])
        return
    for seconds in options.seconds:
        subprocess.run([sys.executable, "-m", "benchmarks.talk", "--seconds", str(seconds)], check=True)


if __name__ == "__main__":
    main()
