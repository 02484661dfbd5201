"""Audio alone or an image alone as a clip of a store: material of collections without videos, which trains AME."""

import io

import numpy as np
from PIL import Image

from conventions.errors import RejectedClip, UserError
from conventions.rates import SAMPLES_PER_FRAME, VIDEO_FPS
from datamodules.audio import read_audio
from datamodules.catalogue import ClipRecord
from datamodules.clip_face import JPEG, MAX_FRAMES, MIN_FRAMES, Face
from datamodules.clip_part import SILENCE_PEAK, face_arrays, meta_of, sound_arrays
from datamodules.crop import Window, cut
from datamodules.parts import Part
from datamodules.pictures import read_picture

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
