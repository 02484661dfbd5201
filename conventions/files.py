"""Files that are whole or absent: written beside their place, synced, then renamed; and the error of a full disk."""

import contextlib
import errno
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
    if stat.S_ISLNK(mode):
        return "a link that leads back to itself"
    return "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, without the path that an OSError repeats."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return (text.splitlines() or [type(error).__name__])[0]


def output_place(path: Path) -> Path:
    """Where a file for `path` is put: the target where `path` is a link, so that the link stays.

    UserError where a folder, a FIFO or a device is there: none of them is ever replaced.
    """
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return place
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: is {_kind_of(mode)}; give the name of a file")
    return place


@contextlib.contextmanager
def atomic_path(path: Path, suffix: str = "") -> Iterator[Path]:
    """A path for the block to write, which becomes `path` when the block ends well; nothing is left when it fails.

    Its name is short and no other's: two that write one file each write a whole one, and the last stays.
    """
    place = output_place(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{secrets.token_hex(8)}.partial{suffix}")
    try:
        yield partial
        partial.replace(place)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` when the block ends well and leaves nothing when it fails."""
    with atomic_path(path) as partial, partial.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all; bytes of a name that is no UTF-8 as JSON's escapes."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in their given order; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
