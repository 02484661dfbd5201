"""Picture quality as torchmetrics classes over the frame values of one clip; twins in `metrics.functional.image`."""

from jaxtyping import Bool, Float
from torch import Tensor

from metrics.base import ClipMean
from metrics.functional.image import mean_of_frames


class FramePSNR(ClipMean):
    """PSNR in dB, mean over frames, then over clips."""

    higher_is_better = True

    def clip_value(self, psnr: Float[Tensor, " t"], scored: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
        """PSNR of one clip from that of its frames (`frame_psnr`); `scored` marks the frames that count."""
        return mean_of_frames(psnr, scored)


class FrameSSIM(ClipMean):
    """SSIM, mean over frames, then over clips."""

    higher_is_better = True

    def clip_value(self, ssim: Float[Tensor, " t"], scored: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
        """SSIM of one clip from that of its frames (`frame_ssim`)."""
        return mean_of_frames(ssim, scored)


class FrameLPIPS(ClipMean):
    """LPIPS, mean over frames, then over clips."""

    higher_is_better = False

    def clip_value(self, lpips: Float[Tensor, " t"], scored: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
        """LPIPS of one clip from that of its frames (the network in the role `lpips`)."""
        return mean_of_frames(lpips, scored)
