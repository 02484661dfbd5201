"""Files that are whole or absent: written beside their place, synced, then renamed."""

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from conventions.errors import UserError


def regular_file(path: Path, kind: str = "file") -> Path:
    """`path` where it is a regular file or a link to one; UserError where it is absent, or a folder, FIFO or device."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        state = "is a link to nothing" if path.is_symlink() else f"no such {kind}"
        raise UserError(f"{path}: {state}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {reason_of(error)}") from error
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: is {_kind_of(mode)}, not a {kind}")
    return path


def _kind_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, without the path that an OSError repeats."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return (text.splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` when the block ends well and leaves nothing when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # as the user's umask allows
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in their given order; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
