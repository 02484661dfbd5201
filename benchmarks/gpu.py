"""All that is measured on a GPU, in one call of at most 8 minutes: `python -m benchmarks.gpu OUT`.

OUT gets `gpu.json`, written anew after each phase, and images of the last one. Each phase has a time limit of its own
and ends with what it has; a phase that fails records its reason, and the next one begins. `--tiny` runs all of it in
small sizes, also without a GPU: so that nothing is learnt on a GPU which could be learnt without one.

peak    bf16 and float32 matrix products: the peak that shares below are of
frames  HEF of the preset `paper` at 512 px: frames a second at batch 1 and more, eager and compiled, and memory
steps   training steps of HEF at 512 and 256 px, EAC and AME at the paper's sizes: steps a second, share of the peak
talk    a talking face at 512 px with untrained networks, reading and encoding included
train   HEF at 256 px on toy clips rendered at 256 px, for the time that is left; samples before and after
"""

import argparse
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_phases as phases
from benchmarks import gpu_training as training
from conventions.files import write_json

LIMITS = {"peak": 20, "frames": 100, "steps": 100, "talk": 60, "train": 180}
"""Seconds of each phase; 460 in all."""
TINY_LIMITS = dict.fromkeys(LIMITS, 600)

Phase = Callable[[phases.Setting], Mapping[str, Any]]
PHASES: Mapping[str, Phase] = {
    "peak": phases.peak,
    "frames": phases.frames,
    "steps": training.steps,
    "talk": phases.talk,
    "train": training.train,
}


class PhaseTimeout(Exception):
    """A phase outlasted its limit by more than half, so that it was broken off."""


@dataclass(frozen=True)
class Report:
    """The JSON file, kept whole after every phase."""

    path: Path
    found: dict[str, Any]

    def add(self, name: str, value: Mapping[str, Any]) -> None:
        """A phase's result: to the file and to stdout, at once."""
        self.found[name] = dict(value)
        write_json(self.path, self.found)
        print(name, json.dumps(value), flush=True)


@contextmanager
def broken_off_after(seconds: float) -> Iterator[None]:
    """PhaseTimeout in this thread after `seconds`."""

    def stop(number: int, frame: Any) -> None:
        raise PhaseTimeout(f"broken off after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(out: Path, tiny: bool, names: list[str]) -> dict[str, Any]:
    """Run the phases and return what was found."""
    out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    report = Report(out / "gpu.json", {})
    report.add("machine", {"device": card, "torch": torch.__version__, "tiny": tiny})
    for name in names:
        limit = (TINY_LIMITS if tiny else LIMITS)[name]
        began = time.monotonic()
        setting = phases.Setting(device, tiny, out, began + limit, report.found)
        try:
            with broken_off_after(1.5 * limit):
                found = dict(PHASES[name](setting))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        report.add(name, {**found, "seconds": round(time.monotonic() - began, 1)})
        phases.free(device)
    return report.found


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for gpu.json and pictures")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a machine without a GPU")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        parser.error("no GPU is found; --tiny runs everything in small sizes on the CPU")
    run(options.out, options.tiny, options.phases)


if __name__ == "__main__":
    main()
