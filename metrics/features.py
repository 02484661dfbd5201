"""EFD, CSIM and emotion accuracy as torchmetrics classes; their twins live in `metrics.functional.features`."""

from jaxtyping import Float
from torch import Tensor

from metrics.base import ClipMean
from metrics.functional import features


class EmotionFeatureDistance(ClipMean):
    """EFD: cosine distance of emotion features, mean over frames, then over clips."""

    higher_is_better = False

    def clip_value(self, generated: Float[Tensor, "t d"], true: Float[Tensor, "t d"]) -> Float[Tensor, ""]:
        """EFD of one clip."""
        return features.emotion_feature_distance(generated, true)


class IdentitySimilarity(ClipMean):
    """CSIM: cosine of identity embeddings against the true frames, or against one embedding of the source."""

    higher_is_better = True

    def clip_value(self, generated: Float[Tensor, "t d"], reference: Float[Tensor, "#t d"]) -> Float[Tensor, ""]:
        """CSIM of one clip."""
        return features.cosine_similarity_of_identity(generated, reference)


class EmotionAccuracy(ClipMean):
    """Share of clips that the classifier takes for the wanted emotion."""

    higher_is_better = True

    def clip_value(self, probabilities: Float[Tensor, "t classes"], emotion: int) -> Float[Tensor, ""]:
        """1 when the mean of one clip's frame probabilities peaks at `emotion`, otherwise 0."""
        wanted = probabilities.new_tensor([emotion]).long()
        return features.emotion_accuracy(probabilities.mean(dim=0, keepdim=True), wanted)
