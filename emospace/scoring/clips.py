"""A generated and a true video brought together: 25 fps, the truth's size, the shorter length; what was changed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from conventions.errors import RejectedClip, UserError
from conventions.rates import SAMPLES_PER_FRAME
from datamodules.audio import read_audio
from datamodules.video import read_video
from emospace.scoring.pairs import Pair
from emospace.scoring.written import generated_notes, rate_note, read_stills, still_rate
from metrics.functional.image import SSIM_WINDOW

SOUND_SUFFIXES = (".wav", ".m4a")
RESIZED_AT_ONCE = 32


@dataclass(frozen=True)
class ScoredClip:
    """Frames of both videos from their first frame on, equal in number and size, and the speech of the true one."""

    id: str
    generated: UInt8[Tensor, "t 3 h w"]
    true: UInt8[Tensor, "t 3 h w"]
    audio: Float[Tensor, " samples"]
    """16 kHz, [-1, 1]; empty where there is none."""
    adapted: list[str]
    """What had to be changed, in words."""


def read_clip(pair: Pair) -> ScoredClip:
    """Both videos of a pair; UserError names the file that cannot be used."""
    generated, true = _generated(pair), _frames(pair.truth)
    speech, start = torch.from_numpy(_speech(pair.truth)), pair.layout.first_frame if pair.layout else 0
    if start >= len(true):
        raise UserError(f"{pair.truth}: has {len(true)} frames, and the generated video begins at its frame {start}")
    if min(true.shape[2:]) < SSIM_WINDOW:
        raise UserError(f"{pair.truth}: frames of {_size(true)}; SSIM needs at least {SSIM_WINDOW} px each way")
    notes = [*generated_notes(pair, generated), *rate_note("truth", pair.truth)]
    if start:
        notes.append(f"generated begins at frame {start} of the truth")
        true, speech = true[start:], speech[start * SAMPLES_PER_FRAME :]
    length = min(len(generated), len(true))
    if len(generated) != len(true):
        notes.append(f"generated has {len(generated)} frames, truth {len(true)}: the first {length} scored")
    generated, true = generated[:length], true[:length]
    if generated.shape != true.shape:
        notes.append(f"generated {_size(generated)} resized to {_size(true)}" + _shape_note(generated, true))
        generated = resized(generated, true.shape[2], true.shape[3])
    if true.shape[2] != true.shape[3]:
        notes.append(f"frames of {_size(true)} are not square: LMD counts 1/256 of the width and of the height")
    return ScoredClip(pair.id, generated, true, speech, notes)


def resized(frames: UInt8[Tensor, "t 3 _h _w"], height: int, width: int) -> UInt8[Tensor, "t 3 {height} {width}"]:
    """Frames of another size: bilinear, smoothed first where they shrink."""
    pieces = [
        F.interpolate(piece.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
        for piece in frames.split(RESIZED_AT_ONCE)
    ]
    return torch.cat([piece.round().clamp(0, 255).byte() for piece in pieces])


def _generated(pair: Pair) -> UInt8[Tensor, "t 3 h w"]:
    return read_stills(pair.stills, still_rate(pair)) if pair.stills else _frames(pair.generated)


def _frames(path: Path) -> UInt8[Tensor, "t 3 h w"]:
    try:
        frames = read_video(path)
    except ValueError as error:
        raise UserError(f"{path}: its frames differ in size") from error
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def _size(frames: UInt8[Tensor, "t 3 h w"]) -> str:
    return f"{frames.shape[3]} x {frames.shape[2]} px"


def _shape_note(generated: UInt8[Tensor, "t 3 h w"], true: UInt8[Tensor, "t 3 _h _w"]) -> str:
    shapes = [frames.shape[3] / frames.shape[2] for frames in (generated, true)]
    return "" if abs(shapes[0] / shapes[1] - 1) < 0.01 else ", which changes its shape"


def _speech(truth: Path) -> Float[np.ndarray, " n"]:
    """The true video's own sound, else the sound file of its name beside it, else none."""
    try:
        return read_audio(truth)
    except RejectedClip as error:
        if error.reason not in ("no_audio_stream", "empty_audio"):
            raise
    beside = next((path for suffix in SOUND_SUFFIXES if (path := truth.with_suffix(suffix)).is_file()), None)
    return np.zeros(0, np.float32) if beside is None else read_audio(beside)
