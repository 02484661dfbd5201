"""A full disk is reported in one clear line."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from conventions.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def space_on(path: Path) -> Iterator[None]:
    """Turn "no space left" anywhere in the block into a `UserError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise UserError(f"{path}: the disk is full; free some space and run the same command again") from error
