"""What a method wrote: whether rate, size and audio of a video are those of its official output."""

from pathlib import Path

from conventions.rates import VIDEO_FPS
from datamodules.video import open_media
from emospace.scoring.pairs import Pair

TOLERATED_FPS = 0.01


def generated_notes(pair: Pair, size: tuple[int, int]) -> list[str]:
    """The generated video's rate, and whatever differs from its layout; `size` is (width, height) of its frames."""
    layout, notes = pair.layout, []
    if layout is not None and layout.size is not None and layout.size != size:
        written = f"{layout.size[0]} x {layout.size[1]} px"
        notes.append(f"generated is {size[0]} x {size[1]} px, {layout.title} writes {written}")
    if pair.stills:
        return [*notes, *_off_clock("generated", still_rate(pair))]
    rate, sound = _header(pair.generated)
    if layout is not None and layout.fps is not None and rate is not None and abs(rate - layout.fps) > TOLERATED_FPS:
        notes.append(f"generated is of {rate:g} fps, {layout.title} writes {layout.fps:g}")
    if layout is not None and layout.sound and not sound:
        notes.append(f"generated has no audio, {layout.title} writes it")
    return [*notes, *_off_clock("generated", rate)]


def still_rate(pair: Pair) -> float:
    """Images a second of a clip that is given as images: a layout of images has a rate."""
    assert pair.layout is not None
    assert pair.layout.fps is not None
    return pair.layout.fps


def rate_note(side: str, path: Path) -> list[str]:
    """A note where a video is not of 25 fps."""
    return _off_clock(side, _header(path)[0])


def _off_clock(side: str, rate: float | None) -> list[str]:
    if rate is None or abs(rate - VIDEO_FPS) < TOLERATED_FPS:
        return []
    return [f"{side} of {rate:g} fps read at {VIDEO_FPS} fps"]


def _header(path: Path) -> tuple[float | None, bool]:
    """Frames a second, where the header states them, and whether there is audio."""
    with open_media(path) as container:
        rate = container.streams.video[0].average_rate
        return None if rate is None else float(rate), bool(container.streams.audio)
