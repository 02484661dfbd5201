"""How other methods' official outputs are laid out: one YAML file of this folder each, or any path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conventions.errors import UserError, nearest
from datamodules.naming import mead
from datamodules.naming.name import Name

ANY = "any"
PARTS = {
    "actor": r"(?P<actor>[^/_]+)",
    "emotion": r"(?P<emotion>[^/_]+)",
    "level": r"(?P<level>\d)",
    "clip": r"(?P<clip>\d+)",
    "view": r"(?P<view>(?:left|right)_?\d\d|[a-z]+)",
    "frame": r"(?P<frame>\d+)",
    "*": "[^/]*",
}
"""The patterns of `{actor}` and so on in a layout's `file`."""

REQUIRED = ("title", "source", "file", "rule", "fps", "size", "sound")
FIELDS = (*REQUIRED, "first_frame")


@dataclass(frozen=True)
class Layout:
    """What one method writes for a clip of MEAD. None: it depends on the input, or is not known."""

    id: str
    title: str
    """Its row in Table 1."""
    source: str
    """Where the official output's form is taken from."""
    file: str
    """Last parts of an output's path; with `{frame}` a clip is a folder of images."""
    rule: str
    """What the user must name, and how, so that the path names the clip."""
    fps: float | None
    size: tuple[int, int] | None
    """Width and height in px."""
    sound: bool | None
    first_frame: int
    """The true frame, at 25 fps, that the first generated one belongs to."""

    @property
    def of_stills(self) -> bool:
        """Whether a clip is a folder of images."""
        return "{frame}" in self.file

    def match(self, path: str) -> re.Match[str] | None:
        """The parts of a relative path (`/` between folders), or None for a file that is none of the outputs."""
        return re.search(f"(?:^|/){_pattern(self.file)}$", path)

    def name(self, parts: re.Match[str]) -> Name | None:
        """The clip that the parts name, in any of MEAD's spellings; None where MEAD has no such clip."""
        found = {"view": "front", "level": "1", **parts.groupdict()}
        return mead.parse("{actor}_{view}_{emotion}_level_{level}_{clip}".format(**found), {})


def _pattern(file: str) -> str:
    pieces = re.split(r"\{([^}]*)\}", file)
    return "".join(PARTS[piece] if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces))


def available() -> list[str]:
    """Names of the layouts that come with the project."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def load_layout(name: str) -> Layout:
    """A layout of this folder by name (`wav2lip`), or the file at a path that ends in .yaml."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else Path(__file__).parent / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"method {name!r}: no such file or name{nearest(name, available())}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: a layout is a mapping of {', '.join(FIELDS)}")
    return _layout(path, content)


def _layout(path: Path, content: Mapping[Any, Any]) -> Layout:
    for key in content:
        if key not in FIELDS:
            raise UserError(f"{path}: unknown key {key!r}{nearest(str(key), FIELDS)}")
    if absent := [key for key in REQUIRED if key not in content]:
        raise UserError(f"{path}: {absent[0]}: is missing")
    for key in ("title", "source", "file", "rule"):
        if not isinstance(content[key], str) or not content[key].strip():
            raise UserError(f"{path}: {key}: expected a text, not {content[key]!r}")
    fps, sound, first = content["fps"], content["sound"], content.get("first_frame", 0)
    if fps != ANY and (not isinstance(fps, int | float) or isinstance(fps, bool) or not 1 <= fps <= 1000):
        raise UserError(f"{path}: fps: expected frames per second or {ANY!r}, not {fps!r}")
    if sound != ANY and not isinstance(sound, bool):
        raise UserError(f"{path}: sound: expected true, false or {ANY!r}, not {sound!r}")
    if not isinstance(first, int) or isinstance(first, bool) or first < 0:
        raise UserError(f"{path}: first_frame: expected a number of frames from 0 on, not {first!r}")
    _check_file(path, content["file"], fps)
    title, source, file, rule = (content[key].strip() for key in ("title", "source", "file", "rule"))
    rate, has_audio = None if fps == ANY else float(fps), None if sound == ANY else bool(sound)
    return Layout(path.stem, title, source, file, rule, rate, _size(path, content["size"]), has_audio, first)


def _check_file(path: Path, file: str, fps: object) -> None:
    parts = re.findall(r"\{([^}]*)\}", file)
    for part in parts:
        if part not in PARTS:
            raise UserError(f"{path}: file: unknown part {{{part}}}{nearest(part, PARTS)}")
    for part in ("actor", "emotion", "clip"):
        if parts.count(part) != 1:
            raise UserError(f"{path}: file: {{{part}}} must occur once, not {parts.count(part)} times")
    if twice := [part for part in ("level", "view", "frame") if parts.count(part) > 1]:
        raise UserError(f"{path}: file: {{{twice[0]}}} occurs {parts.count(twice[0])} times")
    if "frame" in parts and (fps == ANY or "{frame}" not in file.rsplit("/", 1)[-1]):
        raise UserError(f"{path}: file: {{frame}} must be part of the file's own name, and fps a number")


def _size(path: Path, size: Any) -> tuple[int, int] | None:
    if size == ANY:
        return None
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise UserError(f"{path}: size: expected px, [width, height] or {ANY!r}, not {size!r}")
    return sides[0], sides[1]
