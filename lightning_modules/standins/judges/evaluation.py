"""How far judges and critics can be trusted: their accuracy on true pictures of people that were held out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from conventions.emotions import EMOTIONS
from lightning_modules.standins.judges.faces import Faces
from lightning_modules.standins.judges.losses import as_float
from lightning_modules.standins.judges.speech import SpeechClip
from metrics.functional.landmarks import landmark_distance
from metrics.functional.sync import sync_scores
from metrics.suite import LMD_CROP

if TYPE_CHECKING:
    from lightning_modules.standins.judges.module import JudgesModule


def same_person_auc(embeddings: Float[Tensor, "n d"], person: Int[Tensor, " n"]) -> float:
    """Probability that two pictures of one person are more alike than two of different persons (0.5 = chance)."""
    first, second = torch.triu_indices(len(person), len(person), 1)
    cosine = (embeddings[first] * embeddings[second]).sum(dim=1)
    same = person[first] == person[second]
    order = torch.cat([cosine[same], cosine[~same]]).argsort().argsort().double()
    positives, negatives = int(same.sum()), int((~same).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((order[:positives].sum() - positives * (positives - 1) / 2) / positives / negatives)


def mouth_opening(landmarks: Float[Tensor, "n 68 2"]) -> Float[Tensor, " n"]:
    """Height of the gap between the inner lips."""
    return landmarks[:, 66, 1] - landmarks[:, 62, 1]


def correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float:
    """Pearson's correlation."""
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


@torch.inference_mode()
def score_faces(judges: "JudgesModule", faces: Faces) -> dict[str, float]:
    """Landmark error in px of a 256 px crop, as found and as LMD; mouth opening; emotions; same-person AUC."""
    images = as_float(torch.from_numpy(faces.images).permute(0, 3, 1, 2)).to(judges.device)
    true = torch.from_numpy(faces.landmarks).to(judges.device)
    found = judges.landmark.landmarks(images)
    emotion = judges.emotion(images).argmax(dim=1).cpu().numpy()
    person = torch.from_numpy(faces.person).to(judges.device)
    return {
        "landmark_error_px": float((found - true).norm(dim=-1).mean() * LMD_CROP / 2),
        "mouth_error_px": float(landmark_distance(found, true, LMD_CROP, "mouth")),
        "mouth_opening_r": correlation(mouth_opening(found), mouth_opening(true)),
        "emotion_accuracy": float(np.mean(emotion == faces.emotion)),
        "identity_auc": same_person_auc(judges.identity.embed(images), person),
        "test_faces": float(len(faces)),
    }


@torch.inference_mode()
def score_speech(judges: "JudgesModule", clips: Sequence[SpeechClip]) -> dict[str, float]:
    """Share of true clips whose offset is found within a frame, mean scores, and emotion accuracy by whole clips."""
    scores, right = [], []
    for clip in clips:
        starts = range(clip.num_windows)
        video = judges.sync.video(as_float(clip.pictures(starts)).to(judges.device))
        scores.append([float(s) for s in sync_scores(judges.sync.audio(clip.sounds(starts).to(judges.device)), video)])
        if clip.emotion in EMOTIONS:
            shown = judges.emotion.probabilities(as_float(clip.frames).to(judges.device)).mean(dim=0).argmax()
            right.append(int(shown) == EMOTIONS.index(clip.emotion))
    confidence, distance, offset = np.array(scores).T
    return {
        "sync_accuracy": float(np.mean(np.abs(offset) <= 1)),
        "sync_confidence": float(confidence.mean()),
        "sync_distance": float(distance.mean()),
        "emotion_accuracy_clips": float(np.mean(right)),
        "test_clips": float(len(clips)),
    }
