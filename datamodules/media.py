"""Media files: opened for reading, and which of their tracks count."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from conventions.errors import MediaWarning, RejectedClip, UserError
from conventions.files import reason_of, regular_file

MAX_GAP_SECONDS = 5.0
"""Longest hole in time that is bridged: silence, or the earlier image; damaged files show hours."""


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading; every way in which it can be damaged becomes a `RejectedClip`.

    Nothing but local files is opened, also where a playlist names an address.
    """
    try:
        if regular_file(path).stat().st_size == 0:
            raise RejectedClip("empty_file", f"{path}: the file is empty")
        with av.open(ffmpeg_url(path), options={"protocol_whitelist": "file"}) as container:
            yield container
    except RejectedClip:
        raise
    except (UserError, OSError, FFmpegError, EOFError, ValueError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{path}: cannot be decoded ({reason_of(error)})"
        raise RejectedClip("unreadable", reason) from error


def ffmpeg_url(path: Path) -> str:
    """The path as FFmpeg takes it: a name such as `12:30.wav` would be read as a protocol."""
    return f"file:{path}"


def picture_of(container: InputContainer) -> VideoStream | None:
    """The video track that a player shows: the first default one, else the first; cover images do not count."""
    return _default(stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)


def sound_of(container: InputContainer) -> AudioStream | None:
    """The audio track that a player plays: the first default one, else the first."""
    return _default(container.streams.audio)


def _default(streams: Any) -> Any:
    streams = list(streams)
    return next((stream for stream in streams if stream.disposition & Disposition.default), next(iter(streams), None))


def warn(line: str) -> None:
    """Report what was mended in a file, as a `MediaWarning`: one line that begins with the file."""
    warnings.warn(line, MediaWarning, stacklevel=2)
