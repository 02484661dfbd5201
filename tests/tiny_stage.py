"""An experiment of which one stage, the stand-in of GPT-2, trains in seconds without a world."""

import json
from pathlib import Path

from datamodules.manifest import VERSION

TINY = """
data: {store: store}
prior: {gpt2: {steps: 20}}
trainer: {accelerator: cpu}
"""
MANIFEST = json.dumps(
    {"format": "emospace-store", "version": VERSION, "hash": "5" * 64}
    | {"coefficient_model": None, "clips": 0, "frames": 0}
)


def write_tiny(folder: Path, experiment: str = TINY) -> None:
    """`tiny.yaml` and the store that it names."""
    (folder / "tiny.yaml").write_text(experiment)
    (folder / "store").mkdir()
    (folder / "store" / "manifest.json").write_text(MANIFEST)
