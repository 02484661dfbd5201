"""How far judges and critics can be trusted: their accuracy on true images of people that were held out."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef
from torchmetrics.functional.classification import binary_auroc

from conventions.emotions import EMOTIONS
from face3d.keypoints import LOWER_INNER_LIP, UPPER_INNER_LIP
from lightning_modules.standins.judges.data import FaceBatch, SpeechClip
from lightning_modules.standins.judges.losses import as_float
from metrics.backbones.judges import EmotionJudge, IdentityJudge, LandmarkJudge, SyncJudge
from metrics.functional.landmarks import landmark_distance
from metrics.functional.sync import sync_scores
from metrics.suite import LMD_CROP


def same_person_auc(embeddings: Float[Tensor, "n d"], person: Int[Tensor, " n"]) -> float:
    """Probability that two images of one person are more alike than two of different persons (0.5 = chance).

    NaN where all pairs are alike in that.
    """
    first, second = torch.triu_indices(len(person), len(person), 1)
    same = person[first] == person[second]
    if same.all() or not same.any():
        return float("nan")
    cosine = (embeddings[first] * embeddings[second]).sum(dim=1)
    return binary_auroc((cosine.double() + 1) / 2, same.long()).item()


def mouth_opening(landmarks: Float[Tensor, "n 68 2"]) -> Float[Tensor, " n"]:
    """Height of the gap between the inner lips."""
    return landmarks[:, LOWER_INNER_LIP, 1] - landmarks[:, UPPER_INNER_LIP, 1]


def score_faces(
    landmark: LandmarkJudge, emotion: EmotionJudge, identity: IdentityJudge, faces: FaceBatch
) -> dict[str, float]:
    """Landmark error in px of a 256 px crop, as found and as LMD; mouth opening; emotions; same-person AUC."""
    images, true = as_float(faces.images), faces.landmarks
    found = landmark.landmarks(images)
    return {
        "landmark_error_px": float((found - true).norm(dim=-1).mean() * LMD_CROP / 2),
        "mouth_error_px": float(landmark_distance(found, true, LMD_CROP, "mouth")),
        "mouth_opening_r": pearson_corrcoef(mouth_opening(found), mouth_opening(true)).item(),
        "emotion_accuracy": float((emotion(images).argmax(dim=1) == faces.emotion).float().mean()),
        "identity_auc": same_person_auc(identity.embed(images), faces.person),
        "test_faces": float(len(faces)),
    }


def score_speech(sync: SyncJudge, emotion: EmotionJudge, clip: SpeechClip) -> dict[str, float]:
    """Whether a clip's offset is found within a frame, its scores, and whether its emotion is found over all frames."""
    starts = range(clip.num_windows)
    video = sync.video(as_float(clip.pictures(starts)))
    confidence, distance, offset = (float(score) for score in sync_scores(sync.audio(clip.sounds(starts)), video))
    row = {"sync_accuracy": float(abs(offset) <= 1), "sync_confidence": confidence, "sync_distance": distance}
    if clip.emotion in EMOTIONS:
        shown = emotion.probabilities(as_float(clip.frames)).mean(dim=0).argmax()
        row["emotion_accuracy_clips"] = float(int(shown) == EMOTIONS.index(clip.emotion))
    return row


def mean_speech(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means of `score_speech` over the clips that have each."""
    names = ("sync_accuracy", "sync_confidence", "sync_distance", "emotion_accuracy_clips")
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    return {**means, "test_clips": float(len(rows))}
