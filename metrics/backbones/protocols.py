"""What a metric asks of a network. Frames are [t, 3, h, w], RGB in [-1, 1], of any size; a backbone resizes inside.

`name` goes into tables; `stand_in` is True for a small network of the framework's own that takes the place of the
published one: values that pass through it are marked.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


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
    """Names the emotion of a face; classes are those of `conventions.emotions.EMOTIONS`."""

    def features(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Features for EFD."""
        ...

    def probabilities(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 8"]:
        """Probabilities of MEAD's eight emotions."""
        ...


@runtime_checkable
class IdentityBackbone(Backbone, Protocol):
    """Embeds a face so that the cosine tells persons apart."""

    def embed(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Embeddings; NaN for a frame in which no face is found."""
        ...


@runtime_checkable
class SyncBackbone(Backbone, Protocol):
    """Embeds 5 frames and 20 MFCC steps in one space, near each other when they belong together."""

    def audio(self, mfcc: Float[Tensor, "n 13 20"]) -> Float[Tensor, "n d"]:
        """Embeddings of sound windows of `metrics.speech_features`."""
        ...

    def video(self, frames: Float[Tensor, "n 5 3 h w"]) -> Float[Tensor, "n d"]:
        """Embeddings of picture windows in [-1, 1]."""
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
