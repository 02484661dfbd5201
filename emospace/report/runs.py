"""What the page shows of one run folder, read from its files alone."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MIME = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class RunView:
    """One run folder as the page needs it."""

    name: str
    stage: str
    state: str
    reason: str
    config: dict[str, str]
    metrics: dict[str, Any]
    history: dict[str, list[tuple[float, float]]]
    pictures: list[Path]
    videos: list[Path]


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys with printable values."""
    if not isinstance(value, dict):
        return {prefix: json.dumps(value, ensure_ascii=False)}
    merged: dict[str, str] = {}
    for key, inner in value.items():
        merged |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return merged


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is absent."""
    return json.loads(path.read_text()) if path.is_file() else {}


def read_history(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Curves by scalar name from a history of JSON lines; a last line cut by a kill is left out."""
    curves: dict[str, list[tuple[float, float]]] = {}
    if not path.is_file():
        return curves
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        step = row.get("step")
        for name, value in row.items():
            if name not in ("step", "time", "wall_s") and isinstance(value, int | float) and step is not None:
                curves.setdefault(name, []).append((float(step), float(value)))
    return curves


def read_run(folder: Path) -> RunView:
    """Read one run folder."""
    status = read_json(folder / "status.json")
    config_file = folder / "config.yaml"
    config = yaml.safe_load(config_file.read_text()) if config_file.is_file() else {}
    samples = sorted((folder / "samples").rglob("*")) if (folder / "samples").is_dir() else []
    return RunView(
        name=folder.name,
        stage=folder.name.split(".")[0].split("-")[-1],
        state=status.get("state", "unknown"),
        reason=status.get("reason") or "",
        config=flatten(config),
        metrics=read_json(folder / "metrics.json"),
        history=read_history(folder / "history.jsonl"),
        pictures=[path for path in samples if path.suffix in (".png", ".jpg")],
        videos=[path for path in samples if path.suffix == ".mp4"],
    )


def read_runs(runs: Path) -> list[RunView]:
    """All run folders of a runs folder, by name."""
    return [read_run(folder) for folder in sorted(runs.iterdir()) if (folder / "status.json").is_file()]


def data_uri(path: Path) -> str:
    """A file's bytes as a data URI, so that the page is one file."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
