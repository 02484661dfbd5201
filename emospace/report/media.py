"""Images and videos as data URIs, so that the page is one file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from datamodules.video import read_video

MIME = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
POSTER_QUALITY = 80


@dataclass(frozen=True)
class Clip:
    """A video and its first frame, which the page shows until the video plays."""

    name: str
    source: str
    poster: str
    width: int
    height: int


def data_uri(path: Path) -> str:
    """A file's bytes as a data URI."""
    return _uri(MIME[path.suffix], path.read_bytes())


def read_clip(path: Path, name: str | None = None) -> Clip:
    """A video of the page; its name is the file's unless another is given."""
    first = Image.fromarray(read_video(path, max_frames=1)[0])
    poster = io.BytesIO()
    first.save(poster, format="JPEG", quality=POSTER_QUALITY)
    return Clip(name or path.stem, data_uri(path), _uri(MIME[".jpg"], poster.getvalue()), *first.size)


def _uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
