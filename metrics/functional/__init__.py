"""Metrics as pure functions: tensors in, a tensor out; shapes, units and ranges in each docstring."""

from metrics.functional.features import (
    cosine_similarity_of_identity,
    emotion_accuracy,
    emotion_feature_distance,
    frechet_distance,
)
from metrics.functional.image import psnr, ssim
from metrics.functional.landmarks import landmark_distance
from metrics.functional.sync import SyncScores, sync_scores

__all__ = [
    "SyncScores",
    "cosine_similarity_of_identity",
    "emotion_accuracy",
    "emotion_feature_distance",
    "frechet_distance",
    "landmark_distance",
    "psnr",
    "ssim",
    "sync_scores",
]
