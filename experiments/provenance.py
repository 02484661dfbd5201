"""Where a run's numbers came from: code, packages, machine, data and command."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

from datamodules.manifest import read_manifest
from experiments.identity import digest_of
from experiments.stage import StageRun

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "wandb", "omegaconf", "numpy", "scipy", "librosa", "av")


def provenance(run: StageRun) -> dict[str, Any]:
    """What to write into provenance.json when a run begins."""
    files = run.spec.files(run.config)
    start = getattr(run.config.init_from, run.stage, "")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "argv": sys.argv,
        "git": git_state(),
        "packages": packages(),
        "machine": machine(),
        "store": store_facts(run.spec.store(run.config)),
        "parents": {role: parent.id for role, parent in run.parents.items()},
        "files": {key: {"path": str(path), "sha256": digest_of(path, key)} for key, path in files.items()},
        **({"init_from": start} if start else {}),
    }


def store_facts(path: str) -> dict[str, Any]:
    """Path, hash, size and face model of a store; empty without one."""
    if not path:
        return {}
    manifest = read_manifest(Path(path))
    return {"path": path} | {key: manifest[key] for key in ("hash", "coefficient_model", "clips", "frames")}


@cache
def git_state() -> dict[str, Any]:
    """Commit and, when the tree is dirty, the hash of its difference; empty outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    changes = difference()
    dirty = hashlib.sha256(changes.encode()).hexdigest() if changes else None
    return {"commit": commit.strip(), "dirty": dirty, "untracked": len(_git("status", "--short").splitlines())}


@cache
def difference() -> str:
    """The patch from the commit to the code that runs; empty in a clean tree or outside git."""
    return _git("diff", "HEAD")


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def machine() -> dict[str, Any]:
    """Hardware and threads."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def peak_memory_bytes() -> int:
    """Most memory this process has had at once, with the GPU's where there is one."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    host = peak if sys.platform == "darwin" else peak * 1024
    return host + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
