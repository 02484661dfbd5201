"""What a metric asks of a network. Frames are [t, 3, h, w], RGB in [-1, 1], of any size; a network resizes inside.

`name` goes into tables; `stand_in` is True for a small network of the framework's own that takes the place of the
published one: values that pass through it are marked. Landmarks travel with the frames: no network finds a face but
the one in the role `landmarks`.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of images in [0, 1] by channel (RGB): what many published networks standardise by."""


class Backbone(Protocol):
    """A named network."""

    name: str
    stand_in: bool


@runtime_checkable
class LandmarkBackbone(Backbone, Protocol):
    """Finds the 68 iBUG landmarks."""

    def landmarks(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 68 2"]:
        """(x, y) in [-1, 1] across the frame; NaN for a frame in which no face is found."""
        ...


@runtime_checkable
class EmotionBackbone(Backbone, Protocol):
    """Recognises the emotion of a face; classes are those of `conventions.emotions.EMOTIONS`."""

    def outputs(
        self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]
    ) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t 8"]]:
        """Features for EFD and probabilities of MEAD's eight emotions; NaN for a frame without landmarks."""
        ...


@runtime_checkable
class IdentityBackbone(Backbone, Protocol):
    """Embeds a face so that the cosine separates persons."""

    def embed(self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t d"]:
        """Embeddings; NaN for a frame without landmarks."""
        ...


@runtime_checkable
class SyncBackbone(Backbone, Protocol):
    """Embeds 5 frames and 20 MFCC steps in one space, near each other when they belong together."""

    own_crop: bool
    """Whether it sees SyncNet's crop (224 px, `face_clip.sync_boxes`) in place of the image metrics' one."""
    trusted: float
    """Confidence under which a true clip's audio and video do not agree; 0 where the network has no such value."""

    def audio(self, mfcc: Float[Tensor, "n 13 20"]) -> Float[Tensor, "n d"]:
        """Embeddings of audio windows of `metrics.speech_features`."""
        ...

    def video(self, frames: Float[Tensor, "n 5 3 h w"]) -> Float[Tensor, "n d"]:
        """Embeddings of video windows in [-1, 1]."""
        ...


@runtime_checkable
class InceptionBackbone(Backbone, Protocol):
    """Features whose distribution FID compares."""

    num_features: int

    def features(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Pooled features."""
        ...


@runtime_checkable
class PerceptualBackbone(Backbone, Protocol):
    """LPIPS with its layers and weights."""

    def distance(self, generated: Float[Tensor, "t 3 h w"], true: Float[Tensor, "t 3 h w"]) -> Float[Tensor, " t"]:
        """LPIPS of each frame."""
        ...


@runtime_checkable
class VideoBackbone(Backbone, Protocol):
    """Features whose distribution FVD compares."""

    num_features: int

    def features(self, videos: Float[Tensor, "n 16 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of pieces of 16 frames."""
        ...


@runtime_checkable
class ExpressionBackbone(Backbone, Protocol):
    """3DMM expression coefficients, whose distribution E-FID compares."""

    num_features: int

    def coefficients(
        self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]
    ) -> Float[Tensor, "t d"]:
        """Expression coefficients; NaN for a frame without landmarks."""
        ...
