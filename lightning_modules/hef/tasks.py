"""What HEF works on: a training batch with all that is drawn of it, and a portrait to be driven."""

import dataclasses

from jaxtyping import Float
from torch import Tensor

from datamodules.batches import HEFBatch
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.hef.generator import SourceCode


@dataclasses.dataclass(frozen=True)
class Task:
    """A batch with its renders, motion and emotion codes, computed once for both losses."""

    frames: HEFBatch
    source: Float[Tensor, "b 4 r r"]
    """Render and mask of the source's face."""
    target: Float[Tensor, "b 4 r r"]
    """Render and mask of the target's face."""
    motion: Float[Tensor, "b 3 r r"] | None
    """The 3DMM's own flow (x, y) and where it is seen; None where neither generator nor augmentation needs it."""
    keypoints: Float[Tensor, "b 68 2"]
    """Landmarks of the target's face, (x, y) in [-1, 1] across the frame."""
    region: Float[Tensor, "b 1 r r"]
    """Soft map of mouth and eyes."""
    code: EmotionCode


@dataclasses.dataclass(frozen=True)
class Portrait:
    """What is computed once per portrait; from the coefficients follows the motion to each driven frame."""

    code: SourceCode
    coefficients: Float[Tensor, "b 257"]
    placement: Float[Tensor, "b 3"]

    def expand(self, count: int) -> "Portrait":
        """One portrait for `count` driven frames, without copying."""
        return Portrait(self.code.expand(count), self.coefficients.expand(count, -1), self.placement.expand(count, -1))
