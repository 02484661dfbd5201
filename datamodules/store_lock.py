"""One process at a time changes a store."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conventions.locks import exclusive
from datamodules.manifest import MANIFEST
from datamodules.parts import PARTS
from datamodules.shards import SHARDS


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Keep a second process from changing the same store while this one does, and clear up after a killed one."""
    (store / PARTS).mkdir(exist_ok=True)
    busy = f"{store}: another preparation is at work on this store; wait for it to end"
    with exclusive(store / PARTS / "lock", busy):
        _clear(store)
        try:
            yield
        finally:
            _clear(store)
    if (store / MANIFEST).is_file():
        shutil.rmtree(store / PARTS, ignore_errors=True)


def _clear(store: Path) -> None:
    """Remove what killed writers left."""
    for folder in (store, store / PARTS, store / SHARDS):
        for leaving in folder.glob(".*.partial"):
            shutil.rmtree(leaving) if leaving.is_dir() else leaving.unlink(missing_ok=True)
