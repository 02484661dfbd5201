"""The emotion space: text, image and audio encoders and the intensity head behind one `EmotionEncoder`."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from conventions.errors import UserError
from lightning_modules.ame.audio import AudioEncoder
from lightning_modules.ame.config import STANDIN, AMEConfig, TextConfig
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, Modality
from lightning_modules.ame.intensity import IntensityHead
from lightning_modules.ame.sources import ClipImage, ClipText, GPT2Text, StyleTable, TextSource
from lightning_modules.ame.towers import Frozen, load_clip, load_gpt2
from lightning_modules.standins.priors.parts import ClipParts, GPT2Parts


class EmotionSpace(EmotionEncoder):
    """Encoders of three modalities into one space; without an image tower, images are refused."""

    def __init__(
        self, text: TextSource, image: ClipImage | None, audio: AudioEncoder, intensity: IntensityHead
    ) -> None:
        super().__init__()
        self.text, self.image, self.audio, self.intensity = text, image, audio, intensity
        named: dict[Modality, object] = {"text": text, "image": image, "audio": audio}
        self.modalities = tuple(name for name, source in named.items() if source is not None)

    def encode_text(self, texts: Sequence[str]) -> EmotionCode:
        """Codes of texts; an empty text is a UserError."""
        for text in texts:
            if not text.strip():
                raise UserError("emotion: the text is empty; write an emotion such as 'happy' or 'quietly sad'")
        return self.code(self.text(texts))

    def encode_image(self, images: Float[Tensor, "b 3 h w"]) -> EmotionCode:
        """Codes of face images in [-1, 1]."""
        if self.image is None:
            raise self._refusal("image")
        return self.code(self.image(images))

    def encode_audio(self, mel: Float[Tensor, "b t 80"], mask: Bool[Tensor, "b t"]) -> EmotionCode:
        """Codes of speech (log-mel in dB)."""
        return self.code(self.audio(mel, mask))

    def code(self, vector: Float[Tensor, "b 512"]) -> EmotionCode:
        """The code of unit vectors."""
        token = self.intensity(vector)
        return EmotionCode(vector, token, self.intensity.level(token))

    def with_level(self, code: EmotionCode, level: Float[Tensor, " b"]) -> EmotionCode:
        """The same emotion at another level 0..3."""
        token = self.intensity.at_level(code.token, level)
        return EmotionCode(code.vector, token, self.intensity.level(token))


def build_space(config: AMEConfig, clip: ClipParts | None = None, gpt2: GPT2Parts | None = None) -> EmotionSpace:
    """The space of a configuration; the stand-ins that it names (`config.parents()`) must be handed in."""
    clip = clip if config.text.clip_model == STANDIN else load_clip(config.text.clip_model, config.text.clip_weights)
    tower = Frozen(clip.model) if clip is not None else None
    image = None
    if tower is not None and clip is not None:
        image = ClipImage(tower, clip, config.adapter_width, config.adapter_dropout)
    text = _text_source(config.text, tower, clip, gpt2)
    return EmotionSpace(text, image, AudioEncoder(config.audio), IntensityHead(config.token_width))


def _text_source(
    config: TextConfig, tower: Frozen | None, clip: ClipParts | None, gpt2: GPT2Parts | None
) -> TextSource:
    if config.encoding == "onehot":
        return StyleTable()
    if config.encoding == "gpt2":
        parts = gpt2 if config.gpt2_model == STANDIN else load_gpt2(config.gpt2_model)
        assert parts is not None, "the stand-in GPT-2 is a parent of this encoding"
        return GPT2Text(parts)
    assert tower is not None, "the stand-in CLIP is a parent of this encoding"
    assert clip is not None
    return ClipText(tower, clip)
