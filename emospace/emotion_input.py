"""What the user gives as an emotion: a text, an image file or a sound file."""

from pathlib import Path

import torch

from conventions.emotions import NUM_LEVELS
from conventions.errors import UserError
from datamodules.audio import mel, read_audio
from emospace.portrait import as_tensor, read_picture
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, Modality

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
SOUND_SUFFIXES = {".wav", ".m4a", ".mp3", ".flac", ".ogg", ".aac", ".mp4"}


def modality_of(emotion: str) -> Modality:
    """Text, unless the words name an image or sound file by its suffix; UserError when empty or when no such file."""
    if not emotion.strip():
        raise UserError('emotion: is empty; give words such as "quietly happy", an image file or a sound file')
    suffix = Path(emotion).suffix.lower()
    if suffix not in IMAGE_SUFFIXES | SOUND_SUFFIXES:
        return "text"
    if not Path(emotion).is_file():
        raise UserError(f"emotion: {emotion}: no such file")
    return "image" if suffix in IMAGE_SUFFIXES else "audio"


def emotion_code(encoder: EmotionEncoder, emotion: str, level: float | None = None) -> EmotionCode:
    """The code [1, ...] of an emotion given as text, image or sound; `level` in 0..3 moves its intensity."""
    modality, device = modality_of(emotion), next(encoder.parameters()).device
    if level is not None and not 0 <= level <= NUM_LEVELS:
        raise UserError(f"level: {level:g} is outside 0..{NUM_LEVELS}")
    with torch.no_grad():
        if modality == "text":
            code = encoder.encode_text([emotion.strip()])
        elif modality == "image":
            code = encoder.encode_image(as_tensor(read_picture(Path(emotion)))[None].to(device))
        else:
            sound = torch.from_numpy(mel(read_audio(Path(emotion))))[None].to(device)
            if not sound.shape[1]:
                raise UserError(f"emotion: {emotion}: is shorter than one video frame (40 ms)")
            code = encoder.encode_audio(sound, torch.ones(sound.shape[:2], dtype=torch.bool, device=device))
        return code if level is None else encoder.with_level(code, torch.tensor([level], device=device))
