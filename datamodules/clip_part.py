"""One raw clip to one part: audio, face and features. A pure function of the files and the settings."""

import io
import math
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from conventions.errors import RejectedClip, UserError
from conventions.rates import MEL_BINS, MEL_STEPS_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME, VIDEO_FPS
from datamodules import audio as sound_files
from datamodules.arrays import EXACT, INT16_MAX
from datamodules.audio import read_audio
from datamodules.catalogue import ClipRecord
from datamodules.clip_face import (
    JPEG,
    MAX_FRAMES,
    MIN_FRAMES,
    Face,
    Settings,
    measured_face,
    regressed_face,
    tracked_face,
)
from datamodules.crop import Window, cut
from datamodules.media import warn
from datamodules.offsets import NEAR, measure_lag, mouth_opening, read_sound
from datamodules.parts import PICTURES, SIZES, Part
from datamodules.pictures import read_picture
from datamodules.prepare_report import Clock
from face3d.coefficients import NUM_COEFFICIENTS

SILENCE_PEAK = 1e-3
"""audio that never exceeds -60 dB of full scale counts as none."""

_FACES = {"mat": measured_face, "landmarks": tracked_face, "none": tracked_face, "deep3d": regressed_face}

_LABELS = ("id", "actor", "emotion", "level", "kind", "view", "number", "source")


def prepare_clip(record: ClipRecord, settings: Settings, clock: Clock) -> Part:
    """The part of one clip; `RejectedClip` with a reason where it cannot be used."""
    with clock("audio"):
        waveform, offset = _sound(record)
    limit = MAX_FRAMES + 1 if waveform is None else min(len(waveform) // SAMPLES_PER_FRAME, MAX_FRAMES + 1)
    if record.span is not None and not math.isinf(record.span[1]):
        limit = min(limit, round((record.span[1] - record.span[0]) * VIDEO_FPS))
    if limit < MIN_FRAMES:
        raise RejectedClip("too_short", f"{record.audio or record.video}: {limit} frames of audio")
    face = _FACES[settings.mode](record, settings, limit, clock)
    if waveform is not None:
        waveform = waveform[face.skipped * SAMPLES_PER_FRAME :]
    with clock("features"):
        face, waveform, lag = _on_the_mouth(record, face, waveform)
        length = len(face.pictures)
        arrays = {**sound_arrays(waveform, length), **face_arrays(face, length)}
    return Part(meta_of(record, face, waveform is not None, offset, lag), arrays)


def meta_of(
    record: ClipRecord, face: Face, has_audio: bool, sound_offset: float | None, mouth_lag: int | None = None
) -> dict[str, Any]:
    """What a part states of its clip."""
    return {
        **{name: getattr(record, name) for name in _LABELS},
        "length": len(face.pictures),
        "has_audio": has_audio,
        "has_coefficients": face.coefficients is not None,
        "has_landmarks": face.landmarks is not None,
        "crop": face.crop,
        "model": face.model,
        "exact": face.exact is not None,
        "sound_offset": sound_offset,
        "row_offset": face.row_offset,
        "mouth_lag": mouth_lag,
    }


def _sound(record: ClipRecord) -> tuple[Float[np.ndarray, " n"] | None, float | None]:
    """The clip's waveform on the video's clock and its measured offset; None where it has no audio."""
    try:
        waveform, offset = read_sound(record.video, record.audio)
    except RejectedClip as error:
        if error.reason == "empty_audio":
            warn(f"{error}; the clip counts as silent")
        elif record.audio is not None or error.reason != "no_audio_stream":
            raise
        return None, None
    if record.span is not None:
        begin, end = (second * SAMPLE_RATE for second in record.span)
        waveform = waveform[round(begin) : None if math.isinf(end) else round(end)]
    if not len(waveform) or np.abs(waveform).max() < SILENCE_PEAK:
        warn(f"{record.audio or record.video}: no audio above -60 dB; the clip counts as silent")
        return None, None
    return waveform, offset


def _on_the_mouth(
    record: ClipRecord, face: Face, waveform: np.ndarray | None
) -> tuple[Face, np.ndarray | None, int | None]:
    """The clip with its audio where the mouth is, and the lag in frames that was measured; None where that is not sure.

    A lag of a few frames is left as it is. Of a larger one the audio is moved, and frames without it are cut off.
    """
    if waveform is None or face.landmarks is None:
        return face, waveform, None
    opening = mouth_opening(face.landmarks)
    mel = sound_files.mel(waveform, len(opening)).reshape(len(opening), MEL_STEPS_PER_FRAME, MEL_BINS)
    lag = measure_lag(opening, mel)
    if lag is None or not lag.sure:
        return face, waveform, None
    if abs(lag.frames) > NEAR:
        word = "after" if lag.frames > 0 else "before"
        warn(f"{record.video}: the audio comes {abs(lag.frames)} frames {word} the mouth; it is moved there")
        waveform = waveform[max(lag.frames, 0) * SAMPLES_PER_FRAME :]
        face = face.cut(max(-lag.frames, 0), len(waveform) // SAMPLES_PER_FRAME)
    return face, waveform, lag.frames


def sound_arrays(waveform: np.ndarray | None, length: int) -> dict[str, np.ndarray]:
    """Audio and its features for `length` frames; those of digital silence without a waveform."""
    samples = sound_files.to_frames(np.zeros(0, np.float32) if waveform is None else waveform, length)
    flat = samples.reshape(-1)
    mel = sound_files.mel(flat, length).reshape(length, MEL_STEPS_PER_FRAME, MEL_BINS)
    return {
        "audio": np.round(samples * INT16_MAX).astype(np.int16),
        "mel": mel,
        "mfcc": sound_files.mfcc_steps(flat, length),
    }


def face_arrays(face: Face, length: int) -> dict[str, np.ndarray]:
    """Images, placement, landmarks and coefficients; zeros for those that a face has not."""
    none = np.zeros((length, NUM_COEFFICIENTS), np.float32)
    no_landmarks = np.zeros((length, 68, 2), np.float32)
    return {
        "placement": face.placement,
        "coefficients": none if face.coefficients is None else face.coefficients,
        "landmarks": no_landmarks if face.landmarks is None else face.landmarks,
        **({} if face.exact is None else {EXACT: face.exact}),
        PICTURES: np.frombuffer(b"".join(face.pictures), np.uint8),
        SIZES: np.array([len(picture) for picture in face.pictures], np.int64),
    }


NO_CROP: Window = (0.0, 0.0, 0.0)
"""Of a clip without images."""


def sound_part(record: ClipRecord) -> Part:
    """Audio alone: a clip without images, whose crop has no size."""
    waveform = read_audio(record.video)
    length = len(waveform) // SAMPLES_PER_FRAME
    if length < MIN_FRAMES:
        raise RejectedClip("too_short", f"{record.video}: {length} frames of audio")
    if length > MAX_FRAMES:
        raise RejectedClip("too_long", f"{record.video}: more than {MAX_FRAMES / VIDEO_FPS / 60:.0f} minutes")
    if np.abs(waveform).max() < SILENCE_PEAK:
        raise RejectedClip("empty_audio", f"{record.video}: no audio above -60 dB")
    face = Face(NO_CROP, [b""] * length, np.zeros((length, 3), np.float32), None, None, None)
    return _alone(record, waveform, face)


def picture_part(record: ClipRecord, size: int) -> Part:
    """An image alone: one frame without audio, the largest square about its middle."""
    try:
        pixels = read_picture(record.video)
    except UserError as error:
        raise RejectedClip("unreadable", str(error)) from error
    height, width = pixels.shape[:2]
    crop = (width / 2, height / 2, min(width, height) / 2)
    file = io.BytesIO()
    Image.fromarray(cut(pixels, crop, size)).save(file, "JPEG", **JPEG)
    return _alone(record, None, Face(crop, [file.getvalue()], np.zeros((1, 3), np.float32), None, None, None))


def _alone(record: ClipRecord, waveform: np.ndarray | None, face: Face) -> Part:
    length = len(face.pictures)
    meta = meta_of(record, face, waveform is not None, None)
    return Part(meta, {**sound_arrays(waveform, length), **face_arrays(face, length)})
