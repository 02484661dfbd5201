"""A CLIP and a GPT-2 as AME uses them, whoever trained them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ClipParts:
    """A CLIP as AME uses it: `model` has open_clip's encode_text and encode_image.

    Preprocessing: cut `box` (left, top, right, bottom as shares of the image), resize to `size` (bicubic), bring
    [-1, 1] to [0, 1], subtract `mean`, divide by `std`.
    """

    model: nn.Module
    tokenize: Callable[[Sequence[str]], Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def prepare(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        """Images in [-1, 1] as the image tower wants them."""
        height, width = images.shape[-2:]
        left, top, right, bottom = self.box
        images = images[..., round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
        if images.shape[-2:] != (self.size, self.size):
            size = (self.size, self.size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return ((images + 1) / 2 - mean) / std


@dataclass(frozen=True)
class GPT2Parts:
    """A GPT-2 as AME uses it: `model` gives hidden states [b, n, width]; `tokenize` gives numbers and their mask."""

    model: nn.Module
    tokenize: Callable[[Sequence[str]], tuple[Tensor, Tensor]]
    width: int
