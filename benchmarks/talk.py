"""What `emospace talk` costs: frames a second by the size of the video, and peak memory by the length of the speech.

Run it in the folder in which `make demo` has finished: `python -m benchmarks.talk`. Each case in a process of its own;
the portrait is the astronaut of scikit-image (public domain), measured once beforehand.
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


def write_speech(path: Path, seconds: int) -> None:
    """Noise, second by second, so that writing it takes no memory that would count."""
    second = np.random.default_rng(0).integers(-3000, 3000, SAMPLE_RATE).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for _ in range(seconds):
            file.writeframes(second)


def measure(seconds: int, size: int, model: Path | None) -> None:
    """One talking face in this process; a JSON line with its cost."""

    from emospace.demo import write_astronaut
    from emospace.talker import Talker, VideoSettings
    from emospace.talking.from_run import find_run
    from emospace.talking.portrait import Frame
    from lightning_modules.training.memory import keep_freed_memory

    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        speech, out = Path(folder) / "speech.wav", Path(folder) / "out.mp4"
        write_speech(speech, seconds)
        portrait = write_astronaut(Path(folder))
        talker = Talker.from_file(model) if model else Talker.from_run(find_run(Path("runs")).path)
        moments = [(time.perf_counter(), time.process_time())]

        def note(done: int, total: int) -> None:
            moments.append((time.perf_counter(), time.process_time()))

        [_] = talker.talk_all(
            [(portrait, out)], speech, "very happy", settings=VideoSettings(Frame(size=size)), progress=note
        )
    wall, cpu = ((last - first) / (len(moments) - 2) for first, last in zip(moments[1], moments[-1], strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"pixels": size, "seconds": seconds, "peak_mib": round(peak)}
    print(json.dumps(facts | {"frames_a_second": round(1 / wall, 1), "cpu_ms_a_frame": round(1000 * cpu, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=2, type=int, action="append", metavar=("SECONDS", "PIXELS"), default=[])
    parser.add_argument("--model", type=Path, help="model file; by default the newest run's networks")
    options = parser.parse_args()
    cases = options.case or [[4, 256], [4, 512], [4, 1080], [4, 2160], [40, 512], [120, 512]]
    if len(cases) == 1:
        measure(*cases[0], options.model)
        return
    for seconds, size in cases:
        command = [sys.executable, "-m", "benchmarks.talk", "--case", str(seconds), str(size)]
        subprocess.run([*command, *(["--model", str(options.model)] if options.model else [])], check=True)


if __name__ == "__main__":
    main()
