"""Picture quality as torchmetrics classes; each twin lives in `metrics.functional.image`."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from metrics.base import ClipMean
from metrics.functional import image


class FramePSNR(ClipMean):
    """PSNR in dB, mean over frames, then over clips; frames in [-1, 1]."""

    higher_is_better = True

    def clip_value(self, generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
        """PSNR of one clip."""
        return image.psnr(generated, true)


class FrameSSIM(ClipMean):
    """SSIM, mean over frames, then over clips; frames in [-1, 1]."""

    higher_is_better = True

    def clip_value(self, generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
        """SSIM of one clip."""
        return image.ssim(generated, true)


class FrameLPIPS(ClipMean):
    """LPIPS, mean over frames, then over clips; takes feature maps of a network's layers."""

    higher_is_better = False

    def __init__(self, weights: Sequence[Tensor], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weights = list(weights)

    def clip_value(self, generated: Sequence[Tensor], true: Sequence[Tensor]) -> Float[Tensor, ""]:
        """LPIPS of one clip."""
        return image.frame_lpips(generated, true, self.weights).mean()
