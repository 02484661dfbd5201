"""Where a run's numbers came from: code, packages, machine, data and command."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from conventions.files import sha256_of

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "wandb", "omegaconf", "numpy", "scipy", "librosa", "av")


WEIGHTS = ("ame.text.clip_weights", "ame.text.gpt2_model", "hef.perceptual_path", "face_model")
"""Config keys that may name files or folders of weights; other values (tags, stand-ins) stand in config.yaml."""


def provenance(store: Mapping[str, Any], parents: Mapping[str, str], config: Any) -> dict[str, Any]:
    """What to write into provenance.json when a run begins; `parents` maps roles to run ids."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "argv": sys.argv,
        "git": git_state(),
        "packages": packages(),
        "machine": machine(),
        "store": dict(store),
        "parents": dict(parents),
        "weights": weights(config),
    }


def weights(config: Any) -> dict[str, dict[str, str]]:
    """Path and SHA-256 of every file or folder of weights that a typed config names, by config key."""
    named = {key: functools.reduce(getattr, key.split("."), config) for key in WEIGHTS}
    paths = {key: Path(value) for key, value in named.items() if value and Path(value).exists()}
    return {key: {"path": str(path), "sha256": _hash_of(path, _changed(path))} for key, path in paths.items()}


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _changed(path: Path) -> int:
    return max((file.stat().st_mtime_ns for file in _files(path)), default=0)


@cache
def _hash_of(path: Path, changed: int) -> str:
    """A file's hash, or that of a folder's names and hashes; `changed` makes a new file a new question."""
    if path.is_file():
        return sha256_of(path)
    listed = "".join(f"{sha256_of(file)}  {file.relative_to(path)}\n" for file in _files(path))
    return hashlib.sha256(listed.encode()).hexdigest()


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
