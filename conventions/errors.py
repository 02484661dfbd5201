"""Errors that are part of the interface: one clear line for the user and a fixed exit code."""

import difflib
from collections.abc import Iterable

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 75


class UserError(Exception):
    """Wrong use or bad input. Its message is one line: which file or key, what is wrong, what would be right.

    The command line prints that line and exits with 2.
    """


class RejectedClip(UserError):
    """A clip that cannot be used, with a reason code from `datamodules.catalogue.REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MediaWarning(UserWarning):
    """Something in a media file was mended on reading, such as a hole in its audio; one line that names the file."""


class MissingPackage(UserError):
    """An optional package is absent; the line has the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: pip install 'emospace[{extra}]'")


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'backbone'?`, or the valid names where none is near: the end of an error line."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(names)}"


def counted(number: int, what: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
