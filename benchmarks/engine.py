"""The experiment engine at scale: planning, `emospace status`, `table` and `sweep` over 10,000 finished run folders.

`python -m benchmarks.engine`. The folders are the runs of table 3 over as many seeds as that takes. Each command is a
fresh process; its wall time, CPU time and peak memory stand beside their bounds, which hold on two quiet cores.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablations.tables import ask
from datamodules.manifest import FORMAT, MANIFEST, VERSION
from experiments.stage import StageRun
from metrics.protocol import METRIC_NAMES, PROTOCOL

ROOT = Path(__file__).parents[1]
FOLDERS, CLIPS, HISTORY_LINES = 10_000, 300, 300
BOUND_MB = 500
SWEEP_RUNS = 4_000
"""Runs of the sweep that is planned; few of them have a folder."""

PLAN_SWEEP = """
import sys
from pathlib import Path
from emospace.sweeps import read_points
from experiments.sweep import expand_sweep
points = read_points(expand_sweep(sys.argv[1]), Path("runs"))
states = [point.state() for point in points.values()]
assert len(states) == int(sys.argv[2]), len(states)
"""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def cost(*arguments: str, cwd: Path) -> Cost:
    """`python arguments` in the folder `cwd`, to its end."""
    began = time.perf_counter()
    path = {"PYTHONPATH": str(ROOT), "EMOSPACE_RUNS": str(cwd / "runs")}
    with (cwd / "stdout").open("w") as out:
        process = subprocess.Popen([sys.executable, *arguments], cwd=cwd, env={**os.environ, **path}, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)[:80]}: exit code {process.returncode}")
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def fill(root: Path) -> list[int]:
    """A store's manifest and FOLDERS finished runs of table 3 of the preset `toy`; the seeds they cover."""
    write(root / "work/toy-store" / MANIFEST, manifest())
    os.chdir(root)
    seeds, made = 0, set[str]()
    while len(made) < FOLDERS:
        planned = ask("3", "toy", [seeds]).planned()
        targets = [run for by_seed in planned.values() for run in by_seed.values()]
        for run in unique(targets):
            if run.id not in made:
                finish(run, root / "runs")
                made.add(run.id)
        seeds += 1
    return list(range(seeds))


def unique(runs: Sequence[StageRun]) -> Iterator[StageRun]:
    """The runs and all that they build on, parents first."""
    for run in runs:
        yield from unique(list(run.parents.values()))
        yield run


def finish(run: StageRun, runs: Path) -> None:
    """A folder as the engine leaves it, of the demo's sizes, without weights, samples and W&B files."""
    place, measured = runs / run.id, run.stage in ("evaluate", "references")
    generator = np.random.default_rng(int(run.hash[:8], 16))
    prefixes = ("ground_truth/", "copy_source/") if run.stage == "references" else ("",)
    values = {f"{prefix}{name}": float(generator.random()) for prefix in prefixes for name in METRIC_NAMES}
    facts = {"hash": run.hash, "stage": run.stage, "required": list(values), "metrics": values, "undefined": []}
    marked = {"protocol": PROTOCOL, "stand_ins": ["EFD", "LMD", "Sync"], "refused": []} if measured else {}
    write(place / "metrics.json", {**facts, **marked})
    write(place / "provenance.json", {**PROVENANCE, "parents": {role: p.id for role, p in run.parents.items()}})
    labels = {"experiment": run.config.name, "variant": run.variant, "seed": run.seed, "fields": {}}
    identity = {"hash": run.hash, "stage": run.stage, "title": run.title, "sweep": "", **labels}
    ended = {"state": "done", "reason": None, "pid": 1, "heartbeat": 1.8e9, "step": 300, "total": 300, "seconds": 60.5}
    write(place / "status.json", {**identity, **ended, "peak_memory_bytes": 2**31})
    (place / ".lock").touch()
    (place / "config.yaml").write_text("x: 0\n" * 500)
    if run.stage == "evaluate":
        (place / "per_clip.csv").write_text(per_clip(generator))
    elif not measured:
        line = '{"step": 10, "time": 1795377939.706, ' + ", ".join(f'"train/loss{i}": {0.123456789}' for i in range(9))
        (place / "history.jsonl").write_text((line + "}\n") * HISTORY_LINES)


def write(path: Path, value: object) -> None:
    """JSON as the engine writes it, without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def per_clip(generator: np.random.Generator) -> str:
    """CLIPS rows of all metrics."""
    table = generator.random((CLIPS, len(METRIC_NAMES)))
    rows = [
        f"M005_front_angry_1_{i:03},M005,angry,{','.join(f'{v:.9g}' for v in row)},48,0" for i, row in enumerate(table)
    ]
    return "\n".join([f"id,actor,emotion,{','.join(METRIC_NAMES)},frames,frames_without_face", *rows]) + "\n"


def manifest() -> dict[str, object]:
    """A store of 437 clips, as far as planning reads it."""
    facts = {"format": FORMAT, "version": VERSION, "hash": "5" * 64, "size": 128, "coefficient_model": "procedural-v1"}
    return {**facts, "clips": 437, "frames": 20744}


PROVENANCE = {
    "started": "2026-01-01T00:00:00Z",
    "argv": ["emospace", "run"],
    "git": {"commit": "0" * 40, "dirty": None, "untracked": 0},
    "packages": dict.fromkeys(("python", "torch", "pytorch-lightning", "wandb", "omegaconf", "numpy"), "1.0.0"),
    "machine": {"host": "h", "platform": "Linux", "cpus": 2, "threads": 2, "gpus": []},
    "store": {"path": "work/toy-store", "hash": "5" * 64, "clips": 437, "frames": 20744},
}


def main() -> None:
    """Make the folders, then print what each command takes."""
    with tempfile.TemporaryDirectory(prefix="emospace-engine-") as name:
        root = Path(name)
        seeds = [str(seed) for seed in fill(root)]
        folders = sum(1 for _ in (root / "runs").iterdir())
        print(f"{folders} run folders: table 3 on {len(seeds)} seeds, {8 * len(seeds)} evaluations", flush=True)
        variants = ask("3").table.variants
        write_sweep(root / "done.yaml", variants, len(seeds))
        write_sweep(root / "wide.yaml", variants, SWEEP_RUNS // len(variants))
        cli, table = ("-m", "emospace.cli"), ("table", "3", "--preset", "toy")
        plan = cost("-c", PLAN_SWEEP, "wide.yaml", str(SWEEP_RUNS), cwd=root)
        report(f"plan a sweep of {SWEEP_RUNS} runs", plan, 30)
        report("emospace status", cost(*cli, "status", cwd=root), 3)
        report("emospace status --json", cost(*cli, "status", "--json", cwd=root), 3)
        report("emospace table 3, all seeds", cost(*cli, *table, "--seeds", *seeds, cwd=root), 30)
        report("emospace table 3 --seeds 0 1 2", cost(*cli, *table, "--seeds", "0", "1", "2", cwd=root), 10)
        report("emospace table of the sweep", cost(*cli, "table", "done.yaml", cwd=root), 30)
        run = cost(*cli, *table, "--run", "--seeds", "0", "1", "2", cwd=root)
        report("emospace table 3 --run, all done", run, 10)


def write_sweep(path: Path, variants: Sequence[str], seeds: int) -> None:
    """A grid of variants and seeds."""
    path.write_text(
        f"method: grid\nmetric: {{name: test/EFD}}\nparameters:\n  seed: {{values: {list(range(seeds))}}}\n"
        f"  variant: {{values: [{', '.join(variants)}]}}\n"
        'command: ["${env}", "${interpreter}", -m, emospace.cli, run, toy, "${args_no_hyphens}"]\n'
    )


def report(what: str, found: Cost, bound_s: int) -> None:
    """One line."""
    times = f"{found.seconds:6.2f} s (bound {bound_s}), {found.cpu_seconds:6.2f} s CPU"
    print(f"{what:<36}{times}, {found.peak_mb:4.0f} MB (bound {BOUND_MB})", flush=True)


if __name__ == "__main__":
    main()
