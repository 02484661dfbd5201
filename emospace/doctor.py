"""What this machine has for emospace: versions, devices, optional packages and weights."""

import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

from conventions.errors import UserError, nearest
from conventions.published import PUBLISHED
from conventions.weights import weight_folders

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "wandb",
    "omegaconf",
    "librosa",
    "open_clip_torch",
    "kornia",
    "lpips",
    "transformers",
    "av",
    "numba",
)

OPTIONAL = {
    "espeakng_loader": ("toy", "speech of the toy world"),
    "mediapipe": ("landmarks", "landmarks of real clips and portraits"),
    "onnxruntime": ("identity", "identity and emotion of real clips"),
    "submitit": ("slurm", "sweeps on a Slurm cluster"),
    "trackio": ("trackio", "publishing runs into a local Trackio project"),
    "wandb_workspaces": ("workspace", "a W&B dashboard grouped by variant"),
}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [f"cpu ({os.cpu_count()} cores)", *names]


def fetch(name: str) -> Path:
    """Download an optional file into the first weights folder; UserError where it is unknown or cannot be had so."""
    files = {file.name: file for file in PUBLISHED}
    if name not in files:
        raise UserError(f"--fetch: no file {name!r} is known{nearest(name, files)}")
    return files[name].fetch(weight_folders()[0])


def examine() -> dict[str, Any]:
    """Everything `emospace doctor` prints."""
    missing = [name for name in PACKAGES if _version(name) is None]
    optional = {
        name: {"found": importlib.util.find_spec(name) is not None, "extra": extra, "for": purpose}
        for name, (extra, purpose) in OPTIONAL.items()
    }
    weights = {
        file.name: {
            "found": str(path) if (path := file.found()) else None,
            "source": file.source,
            "fetch": file.sha256 is not None,
        }
        for file in PUBLISHED
    }
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "missing": missing,
        "devices": [] if "torch" in missing else _devices(),
        "optional": optional,
        "weights": weights,
        "weights_folders": [str(folder) for folder in weight_folders()],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The examination as a person reads it."""
    text = [f"python {found['python']} on {found['system']}", "devices: " + ", ".join(found["devices"])]
    text += [f"  {name:<18} {version or 'MISSING: make env'}" for name, version in found["packages"].items()]
    for name, entry in found["optional"].items():
        state = "found" if entry["found"] else f"absent: pip install 'emospace[{entry['extra']}]'"
        text.append(f"  {name:<18} {state} (optional: {entry['for']})")
    text.append("weights (optional; looked for in " + ", ".join(found["weights_folders"]) + "):")
    for name, entry in found["weights"].items():
        remedy = f"emospace doctor --fetch {name}" if entry["fetch"] else entry["source"]
        text.append(f"  {name:<42} {entry['found'] or 'absent: ' + remedy}")
    return text
