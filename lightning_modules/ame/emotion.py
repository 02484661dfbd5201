"""The contract of an emotion: where it comes from (text, image, audio), and the code that the other stages receive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.errors import UserError
from datamodules.config import VOICE, SpeechForm

EMOTION_DIM = 512
"""Width of the emotion space: that of CLIP ViT-B/32."""

TOKEN_DIM = 64
"""Width of the intensity token."""


class RefusedStyle(UserError):
    """A style that an encoder cannot express: scored as refused where styles are unseen."""


Modality = Literal["text", "image", "audio"]


@dataclass(frozen=True)
class EmotionCode:
    """An emotion as EAC and HEF receive it.

    Examples:
        >>> code = EmotionCode(torch.ones(1, 512) / 512**0.5, torch.zeros(1, 64), torch.zeros(1))
        >>> len(code.repeat(4))
        4
    """

    vector: Float[Tensor, "b 512"]
    """The emotion, of unit length."""
    token: Float[Tensor, "b 64"]
    """The intensity; zero at the null point (no emotion)."""
    level: Float[Tensor, " b"]
    """The intensity on the scale 0 (neutral) .. 3, read from the token, for display and sliders."""

    def __len__(self) -> int:
        return self.vector.shape[0]

    def __getitem__(self, index: slice | Tensor) -> "EmotionCode":
        return EmotionCode(self.vector[index], self.token[index], self.level[index])

    def to(self, device: torch.device | str) -> "EmotionCode":
        """The same code on another device.

        Args:
            device: where the tensors go.

        Returns:
            A code with every tensor on `device`.
        """
        return EmotionCode(self.vector.to(device), self.token.to(device), self.level.to(device))

    def detach(self) -> "EmotionCode":
        """The same code without its gradient."""
        return EmotionCode(self.vector.detach(), self.token.detach(), self.level.detach())

    def repeat(self, times: int) -> "EmotionCode":
        """A batch of one emotion.

        Args:
            times: size of the batch.

        Returns:
            The code of this one emotion `times` times, without copying.
        """
        return EmotionCode(self.vector.expand(times, -1), self.token.expand(times, -1), self.level.expand(times))


def slerp(
    first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], share: Float[Tensor, " b"]
) -> Float[Tensor, "b d"]:
    """Unit vectors on the great circle from `first` (share 0) to `second` (share 1), both of unit length."""
    share = share[:, None]
    cosine = (first * second).sum(-1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = torch.acos(cosine)
    mixed = (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second) / torch.sin(angle)
    return F.normalize(mixed, dim=-1)


class EmotionEncoder(nn.Module):
    """Base of everything that encodes an emotion: unit vector [b, 512] + intensity token [b, 64].

    A modality that an encoder does not take raises UserError, a style that it cannot express RefusedStyle.
    """

    modalities: tuple[Modality, ...] = ()
    """What this encoder takes."""
    voice: SpeechForm = VOICE
    """The speech feature that `encode_audio` reads; by default log-mel in dB, 100 columns a second."""

    def encode_text(self, texts: Sequence[str]) -> EmotionCode:
        """Codes of texts.

        Args:
            texts: b texts such as "a very happy face".

        Returns:
            Codes of b emotions.

        Raises:
            UserError: the encoder does not take text.
            RefusedStyle: the encoder cannot express a text.
        """
        raise self._refusal("text")

    def encode_image(self, images: Float[Tensor, "b 3 h w"]) -> EmotionCode:
        """Codes of face images.

        Args:
            images: RGB in [-1, 1].

        Returns:
            Codes of b emotions.

        Raises:
            UserError: the encoder does not take images.
        """
        raise self._refusal("image")

    def encode_audio(self, voice: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> EmotionCode:
        """Codes of speech.

        Args:
            voice: the feature that `self.voice` names; by default log-mel in dB, 100 columns a second.
            mask: True where there is audio, False where there is padding.

        Returns:
            Codes of b emotions.

        Raises:
            UserError: the encoder does not take audio.
        """
        raise self._refusal("audio")

    def code(self, vector: Float[Tensor, "b 512"]) -> EmotionCode:
        """Code of any unit vectors of the space.

        Args:
            vector: points of the space, of unit length.

        Returns:
            Codes with the intensity token of each vector.
        """
        raise NotImplementedError

    def with_level(self, code: EmotionCode, level: Float[Tensor, " b"]) -> EmotionCode:
        """The same emotion at another level: the level slider.

        Args:
            code: b emotions.
            level: wanted levels in 0 (neutral) .. 3.

        Returns:
            Codes with the same vectors and the tokens of these levels.
        """
        raise NotImplementedError

    def mix(self, first: EmotionCode, second: EmotionCode, share: Float[Tensor, " b"]) -> EmotionCode:
        """The emotion between two: vectors on the great circle, tokens linearly.

        Args:
            first: emotions at share 0.
            second: emotions at share 1.
            share: in 0..1.

        Returns:
            Codes of b emotions.
        """
        vector = slerp(first.vector, second.vector, share)
        token = torch.lerp(first.token, second.token, share[:, None])
        return EmotionCode(vector, token, self.code(vector).level)

    def _refusal(self, modality: Modality) -> UserError:
        known = ", ".join(self.modalities) or "none"
        return UserError(f"emotion: this encoder does not take {modality}; it takes {known}")
