"""EFD, CSIM and emotion accuracy as torchmetrics classes; their twins live in `metrics.functional.features`."""

from jaxtyping import Bool, Float
from torch import Tensor

from metrics.base import ClipMean
from metrics.functional import features


class EmotionFeatureDistance(ClipMean):
    """EFD: cosine distance of emotion features, mean over frames, then over clips."""

    higher_is_better = False

    def clip_value(
        self, emotion: Float[Tensor, "t d"], true_emotion: Float[Tensor, "t d"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """EFD of one clip."""
        return features.emotion_feature_distance(emotion[scored], true_emotion[scored])


class IdentitySimilarity(ClipMean):
    """CSIM: cosine of identity embeddings against the true frames."""

    higher_is_better = True

    def clip_value(
        self, identity: Float[Tensor, "t d"], true_identity: Float[Tensor, "t d"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """CSIM of one clip."""
        return features.cosine_similarity_of_identity(identity[scored], true_identity[scored])


class SourceSimilarity(ClipMean):
    """CSIM_source: cosine of identity embeddings against the source portrait."""

    higher_is_better = True

    def clip_value(
        self, identity: Float[Tensor, "t d"], source_identity: Float[Tensor, "1 d"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """CSIM_source of one clip."""
        return features.cosine_similarity_of_identity(identity[scored], source_identity)


class EmotionAccuracy(ClipMean):
    """Share of clips that the classifier takes for the wanted emotion."""

    higher_is_better = True

    def clip_value(
        self, probabilities: Float[Tensor, "t classes"], wanted: int | None, scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """1 when the mean of one clip's frame probabilities peaks at `wanted`, otherwise 0; NaN without a label."""
        mean = probabilities[scored].nanmean(dim=0, keepdim=True)
        if wanted is None or not bool(mean.isfinite().all()):
            return mean.new_tensor(float("nan"))
        return features.emotion_accuracy(mean, mean.new_tensor([wanted]).long())
