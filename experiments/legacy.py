"""Run folders of the first identity, `<experiment>-<stage>.<variant>.s<seed>.<hash8>`, which stay readable.

Their configurations have fields that are gone; their ids are found by experiment, variant and seed.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.rundir import RunFolder

REMOVED = ("world.head",)
"""Dotted keys of older configurations that no longer exist."""


def upgraded(values: Mapping[str, Any]) -> dict[str, Any]:
    """An older configuration without the fields that are gone."""
    tree = copy.deepcopy(dict(values))
    for key in REMOVED:
        *sections, name = key.split(".")
        inner: Any = tree
        for section in sections:
            inner = inner.get(section, {})
        inner.pop(name, None)
    return tree


def find(runs: Path, experiment: str, stage: str, variant: str, seed: int) -> RunFolder | None:
    """The finished run of the first identity with these labels; None where there is none, or more than one."""
    found = [RunFolder(path) for path in runs.glob(f"{experiment}-{stage}.{variant}.s{seed}.*")]
    done = [folder for folder in found if folder.state() == "done"]
    return done[0] if len(done) == 1 else None
