"""A generated and a true video as one `FaceClip`: 25 fps, the shorter length, cut alike; what was changed, in words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from conventions.emotions import EMOTIONS
from conventions.errors import RejectedClip, UserError
from conventions.rates import SAMPLES_PER_FRAME, VIDEO_FPS
from datamodules.audio import read_audio
from datamodules.crop import Window, align, camera_windows, fixed_crop, lie_about
from datamodules.naming import parse
from datamodules.video import open_media
from emospace.scoring.media import CutFrames, Media, WholeFrames
from emospace.scoring.pairs import Pair
from emospace.scoring.tracking import Placement, Tracked, place, track
from metrics.face_clip import FaceClip, Made, sync_boxes
from metrics.functional.image import SSIM_WINDOW
from metrics.protocol import Crop

SOUND_SUFFIXES = (".wav", ".m4a")
SIDE = 256
"""Side in px of the crop that the image metrics see."""
NAMED_PARTS = 6
"""Most parts of a path in which a clip's labels stand: MEAD's `M003/video/front/angry/level_1/001`."""


@dataclass(frozen=True)
class PairedClip:
    """A pair ready to be scored."""

    id: str
    labels: dict[str, str]
    """Actor, emotion and level that the true video's path gives by a data set's rule; empty where no rule fits."""
    clip: FaceClip | None
    """None: nothing of it can be scored; `refused` has the reason."""
    adapted: list[str]
    """What was changed, in words."""
    refused: str = ""


def read_clip(
    pair: Pair, network: Any, crop: Crop = "wide-v1", progress: Callable[[int], None] = lambda done: None
) -> PairedClip:
    """Track both videos of a pair, once; UserError names the file that cannot be used."""
    start = pair.layout.first_frame if pair.layout else 0
    true = Media(pair.truth, start=start)
    generated = Media(pair.generated, pair.stills, still_rate(pair)) if pair.stills else Media(pair.generated)
    tracked = track(generated, true, network, progress)
    _check(pair, tracked, start)
    placement = place(tracked)
    notes = list(_notes(pair, tracked, placement, start))
    labels = labels_of(pair.truth)
    audio = torch.from_numpy(_speech(pair.truth))[start * SAMPLES_PER_FRAME :]
    if crop == "none":
        clip = _whole(generated, true, tracked)
    elif (window := crop_window(tracked)) is None:
        reason = "no face in the truth" if network is not None else "no landmark network, so no crop (see --crop none)"
        return PairedClip(pair.id, labels, None, notes, reason)
    elif placement is None:
        reason = "no face in the generated video, whose shape is not the truth's: it cannot be registered"
        return PairedClip(pair.id, labels, None, notes, reason)
    else:
        clip = _cut(generated, true, tracked, window, placement, audio.numel() > 0)
        own = _back(window, placement.shift, placement.scale[0])
        if placement.registered and (share := share_beyond(own, tracked.generated.size)) > 0.01:
            notes.append(f"{share:.0%} of the crop lie beyond the generated frame: its edge pixels repeat there")
    name = getattr(network, "name", "")
    emotion = EMOTIONS.index(labels["emotion"]) if labels["emotion"] in EMOTIONS else None
    first = next(iter(clip.true))
    portrait = None if clip.landmarks is None else clip.landmarks[:1]
    known = replace(clip, audio=audio, tracked_by=name, emotion=emotion, crop=crop)
    return PairedClip(
        pair.id, labels, replace(known, source=first.pictures[:1], source_landmarks=portrait, source_index=0), notes
    )


def crop_window(tracked: Tracked) -> Window | None:
    """The window of `wide-v1` from the truth's landmarks; None where it has no face."""
    found = tracked.true.found
    if not found.any():
        return None
    width, height = tracked.true.size
    windows = camera_windows(align(tracked.true.pixels[found], width, height), width, height)
    return fixed_crop(windows) if lie_about(windows, width, height) else None


def _cut(
    generated: Media, true: Media, tracked: Tracked, window: Window, placement: Placement, with_sync: bool
) -> FaceClip:
    """Both videos cut by the truth's window, the generated one where it lies in its own frame."""
    size, length = tracked.true.size, tracked.length
    relative = torch.from_numpy(tracked.true.pixels / size * 2 - 1)
    boxes = sync_boxes(relative, *size).double().numpy() if with_sync else None
    frames = CutFrames(true, length, window, SIDE, boxes, size)
    scale, shift = placement.scale, placement.shift
    points = tracked.generated.pixels * scale + shift
    if placement.registered or scale[0] == scale[1]:
        own, factor = tracked.generated.size, scale[0]
        moved = None if boxes is None else (boxes - [*shift, 0.0]) / factor
        made = CutFrames(generated, length, _back(window, shift, factor), SIDE, moved, own)
    else:
        made = CutFrames(generated, length, window, SIDE, boxes, size)
    x, y, half = window
    landmarks = [torch.from_numpy((pixels - [x, y]) / half).float() for pixels in (tracked.true.pixels, points)]
    return FaceClip(frames, torch.zeros(0), landmarks[0]).with_row("per_clip", Made(made, landmarks[1]))


def _whole(generated: Media, true: Media, tracked: Tracked) -> FaceClip:
    size, length = tracked.true.size, tracked.length
    sides = [torch.from_numpy(one.pixels / one.size * 2 - 1).float() for one in (tracked.true, tracked.generated)]
    clip = FaceClip(WholeFrames(true, length, size), torch.zeros(0), sides[0])
    return clip.with_row("per_clip", Made(WholeFrames(generated, length, size), sides[1]))


def _back(window: Window, shift: tuple[float, float], factor: float) -> Window:
    x, y, half = window
    return (x - shift[0]) / factor, (y - shift[1]) / factor, half / factor


def share_beyond(window: Window, size: tuple[int, int]) -> float:
    """Share of a window that lies outside a frame."""
    x, y, half = window
    sides = [max(min(c + half, limit) - max(c - half, 0.0), 0.0) for c, limit in zip((x, y), size, strict=True)]
    return 1 - sides[0] * sides[1] / (2 * half) ** 2


def _check(pair: Pair, tracked: Tracked, start: int) -> None:
    if tracked.lengths[1] == 0:
        raise UserError(f"{pair.truth}: has no frame {start}, and the generated video begins there")
    if tracked.lengths[0] == 0:
        raise UserError(f"{pair.generated}: has no frames")
    if min(tracked.true.size) < SSIM_WINDOW:
        size = _size(tracked.true.size)
        raise UserError(f"{pair.truth}: frames of {size}; SSIM needs at least {SSIM_WINDOW} px on each side")


def _notes(pair: Pair, tracked: Tracked, placement: Placement | None, start: int) -> Iterable[str]:
    made, true = tracked.generated, tracked.true
    yield from generated_notes(pair, made.size)
    yield from _off_clock("truth", _header(pair.truth)[0])
    if start:
        yield f"generated begins at frame {start} of the truth"
    if tracked.lengths[0] != tracked.lengths[1]:
        lengths = f"generated has {tracked.lengths[0]} frames, truth {tracked.lengths[1]}"
        yield f"{lengths}: the first {tracked.length} scored"
    if placement is not None and placement.registered:
        x, y = placement.shift
        where = f"scale {placement.scale[0]:.3f}, shift {x:.0f}, {y:.0f} px"
        yield f"generated {_size(made.size)} is a crop: registered in {_size(true.size)} by landmarks ({where})"
    elif made.size != true.size:
        same_shape = abs(made.size[0] * true.size[1] / made.size[1] / true.size[0] - 1) < 0.01
        what = "" if same_shape else ", which changes its shape"
        yield f"generated {_size(made.size)} resized to {_size(true.size)}{what}"
    for side, one in (("generated", made), ("truth", true)):
        if one.rivals:
            yield f"{side} has more than one face in {one.rivals} frames: the first frame's largest is followed"


def labels_of(truth: Path) -> dict[str, str]:
    """Actor, emotion and level that a true video's path gives; the fewest last parts that a rule can read are read.

    Folders above the data give nothing about a clip.
    """
    parts = truth.resolve().with_suffix("").parts
    for count in range(1, NAMED_PARTS + 1):
        if (named := parse("/".join(parts[-count:]), {})) is not None:
            level = "" if named[1].level is None else str(named[1].level)
            return {"actor": named[1].actor, "emotion": named[1].emotion or "", "level": level}
    return dict.fromkeys(("actor", "emotion", "level"), "")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"


def _speech(truth: Path) -> Float[np.ndarray, " n"]:
    """The true video's own audio, else the audio file of its name beside it, else none."""
    try:
        return read_audio(truth)
    except RejectedClip as error:
        if error.reason not in ("no_audio_stream", "empty_audio"):
            raise
    beside = next((path for suffix in SOUND_SUFFIXES if (path := truth.with_suffix(suffix)).is_file()), None)
    return np.zeros(0, np.float32) if beside is None else read_audio(beside)


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


def _off_clock(side: str, rate: float | None) -> list[str]:
    if rate is None or abs(rate - VIDEO_FPS) < TOLERATED_FPS:
        return []
    return [f"{side} of {rate:g} fps read at {VIDEO_FPS} fps"]


def _header(path: Path) -> tuple[float | None, bool]:
    """Frames a second, where the header states them, and whether there is audio."""
    with open_media(path) as container:
        rate = container.streams.video[0].average_rate
        return None if rate is None else float(rate), bool(container.streams.audio)
