"""What this machine has for emospace: versions, devices, optional packages and weights."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from conventions.errors import UserError, nearest
from conventions.weights import PUBLISHED, weight_folders

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
    "espeakng-loader": ("toy", "speech of the toy world"),
    "mediapipe": ("landmarks", "landmarks of real clips and portraits"),
    "protobuf": ("identity", "published networks in ONNX files: identity and emotion"),
    "submitit": ("slurm", "sweeps on a Slurm cluster"),
    "trackio": ("trackio", "publishing runs into a local Trackio project"),
    "wandb-workspaces": ("workspace", "W&B dashboards and reports"),
    "gradio": ("web", "the web page that makes talking faces"),
}
"""Packages of the extras: the extra of each, and its purpose."""


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
    folders = weight_folders()
    if not folders:
        raise UserError("--fetch: no folder to write to; set EMOSPACE_WEIGHTS")
    return files[name].fetch(folders[0])


def examine() -> dict[str, Any]:
    """Everything `emospace doctor` prints."""
    missing = [name for name in PACKAGES if _version(name) is None]
    optional = {
        name: {"found": _version(name) is not None, "extra": extra, "for": purpose}
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
