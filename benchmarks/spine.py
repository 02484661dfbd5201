"""What a user waits for: `emospace --help`, a demo that is already done, and the memory that the demo's runs took.

Run it in the folder in which `make demo` has finished: `python -m benchmarks.spine`.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments.rundir import RunFolder, list_runs


def seconds(*command: str, times: int = 5) -> float:
    """Median wall time of a command."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print each figure beside its reference and its bound."""
    bare = seconds(sys.executable, "-c", "pass")
    shown = seconds(sys.executable, "-m", "emospace.cli", "--help")
    print(f"emospace --help: {shown:.3f} s, {shown / bare:.1f} x a bare Python (bound 1 s)")
    runs = Path("runs")
    states = [RunFolder(runs / run.id).status for run in list_runs(runs) if run.experiment == "demo"]
    if not states:
        sys.exit("runs/: holds no run of the demo; `make demo` first")
    again = seconds(sys.executable, "-m", "emospace.cli", "demo", times=1)
    print(f"emospace demo, all done: {again:.1f} s (bound 20 s)")
    print(f"peak memory of a process: {max(state['peak_memory_bytes'] for state in states) / 2**30:.2f} GiB (bound 6)")
    print(f"stages in all: {sum(state['seconds'] for state in states):.0f} s")


if __name__ == "__main__":
    main()
