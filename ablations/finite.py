"""Whether a finished run's numbers may be shown: no network behind them holds NaN or infinity."""

import functools
from collections.abc import Iterator
from pathlib import Path

from conventions.errors import UserError
from experiments.rundir import RunFolder


def unusable(folder: RunFolder) -> str | None:
    """Why a finished run must not be shown; None where its networks and its ancestors', if still there, are finite."""
    for one in lineage(folder):
        weights = one.checkpoints / "final.pt"
        try:
            found = weights.stat()
        except OSError:
            continue
        if flaw := _flaw(weights, (found.st_mtime_ns, found.st_size)):
            return f"{one.id}: {flaw}"
    return None


def lineage(*folders: RunFolder) -> Iterator[RunFolder]:
    """Some runs and all that they build on, by the runs' own provenance, each once."""
    seen, waiting = set[Path](), list(folders)
    while waiting:
        one = waiting.pop()
        if one.path not in seen:
            seen.add(one.path)
            yield one
            parents = one.read("provenance.json").get("parents", {})
            waiting += [RunFolder(one.path.parent / name) for name in parents.values()]


@functools.lru_cache(maxsize=1024)
def _flaw(weights: Path, version: tuple[int, int]) -> str | None:
    """What is wrong with a file of weights; `version` changes with the content."""
    import torch

    from lightning_modules.training.checkpoints import read_checkpoint

    try:
        state = read_checkpoint(weights).get("state_dict", {})
    except UserError as error:
        return str(error)
    for name, value in state.items():
        if torch.is_tensor(value) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return f"weight {name!r} is not finite; the run diverged"
    return None
