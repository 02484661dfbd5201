"""AME as `emospace bench` measures it."""

import dataclasses
from typing import Any

import open_clip
import torch
from torch.nn import functional as F

from conventions.rates import MEL_BINS
from emospace.bench.subjects import SPEECH_SECONDS, Call, Subject
from experiments.schema import ExperimentConfig
from lightning_modules.ame.config import STANDIN, AMEConfig
from lightning_modules.ame.space import EmotionSpace, build_space
from lightning_modules.standins.priors.clip import ClipPrior
from lightning_modules.standins.priors.config import ClipPriorConfig
from lightning_modules.standins.priors.parts import ClipParts


def build(config: ExperimentConfig, device: str) -> Subject:
    """AME once for each modality: CLIP's towers untrained, the same arithmetic as with its weights."""
    parts = towers(config.ame)
    space = _space(config.ame, parts).eval().to(device)
    assert space.image is not None
    size = config.data.image_size
    picture = torch.zeros(1, 3, size, size, device=device)
    mel = torch.zeros(1, SPEECH_SECONDS * 100, MEL_BINS, device=device)
    mask = torch.ones(mel.shape[:2], dtype=torch.bool, device=device)
    tower: Any = parts.model
    head = {"intensity": space.intensity}

    def read() -> object:  # not `encode_text`, which remembers what it has read
        features = tower.encode_text(parts.tokenize(["quietly happy"]).to(device))
        return space.code(F.normalize(features, dim=-1))

    text = Call("text", "an emotion in words, once", read, {"clip_text": tower.transformer, **head})
    image_parts = {"clip_image": tower.visual, "adapter": space.image.adapter, **head}
    image = Call("image", "an emotion in a picture, once", lambda: space.encode_image(picture), image_parts)
    audio_parts = {**dict(space.audio.named_children()), **head}
    label = f"an emotion in {SPEECH_SECONDS} s of speech, once"
    audio = Call("audio", label, lambda: space.encode_audio(mel, mask), audio_parts)
    return Subject(f"CLIP {config.ame.text.clip_model}", space, (text, image, audio))


def _space(config: AMEConfig, parts: ClipParts) -> EmotionSpace:
    """The space of a configuration on the given towers, so that no weights are asked for."""
    text = dataclasses.replace(config.text, clip_model=STANDIN)
    return build_space(dataclasses.replace(config, text=text), parts)


def towers(config: AMEConfig) -> ClipParts:
    """CLIP's towers of a configuration, untrained."""
    name = config.text.clip_model
    if name == STANDIN:
        return ClipPrior(ClipPriorConfig()).parts()
    shape: Any = open_clip.get_model_config(name)
    tokenizer, grey = open_clip.get_tokenizer(name), (0.5, 0.5, 0.5)
    size = shape["vision_cfg"]["image_size"]
    return ClipParts(open_clip.CLIP(**shape), lambda texts: tokenizer(list(texts)), grey, grey, size)
