"""Why a metric has no value for a clip, in words: nothing is dropped or replaced in silence."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metrics.backbones.videomae import FRAMES as FVD_FRAMES
from metrics.face_clip import FaceClip
from metrics.functional.image import SSIM_WINDOW
from metrics.functional.sync import MAX_SHIFT
from metrics.networks import Networks
from metrics.protocol import NATURALNESS, SET_METRICS, USES
from metrics.speech_features import FRAMES_PER_WINDOW, num_windows

FACE_METRICS = (*USES["landmarks"], *USES["emotion"], *USES["identity"], *USES["expression"])


def reasons(clip: FaceClip, observed: dict[str, Any], networks: Networks) -> dict[str, str]:
    """Metric -> reason, for metrics that may have no value; values that are not finite are taken out of `observed`."""
    found: dict[str, str] = dict(clip.notes)
    here = networks.by_role
    used = {metric for role in here for metric in USES[role]} | {"SSIM"}
    _face(clip, observed, found)
    _audio(clip, observed, found)
    _length(clip, found)
    _network(observed, here, found)
    return {name: text for name, text in found.items() if name in used and name not in SET_METRICS}


def _face(clip: FaceClip, observed: Mapping[str, Any], found: dict[str, str]) -> None:
    if clip.emotion is None:
        found["EmotionAccuracy"] = "no emotion label"
    if clip.source is None:
        found["CSIM_source"] = "no source portrait"
    for name, whose in (("landmarks", "generated video"), ("true_landmarks", "truth")):
        if bool(observed[name].isnan().flatten(1).any(dim=1).all()):
            found |= dict.fromkeys(FACE_METRICS, f"no face in the {whose}")


def _audio(clip: FaceClip, observed: Mapping[str, Any], found: dict[str, str]) -> None:
    spoken = (*USES["sync"], "LipSync")
    if clip.crop == "none":
        found |= dict.fromkeys(USES["sync"], "SyncNet takes face crops, the whole frame is scored")
    if clip.audio.numel() == 0:
        found |= dict.fromkeys((*spoken, "SilentLips"), "no audio")
    elif not bool(observed["voice"].any()):
        found |= dict.fromkeys(spoken, "no voice in the audio")
    else:
        found.setdefault("LipSync", "too few voiced frames with a face")
        found.setdefault("SilentLips", "no pause of 0.3 s with a face")


def _length(clip: FaceClip, found: dict[str, str]) -> None:
    windows = num_windows(len(clip.true), len(clip.audio))
    if clip.audio.numel() and windows <= MAX_SHIFT:
        needed = MAX_SHIFT + FRAMES_PER_WINDOW + 1
        for name in USES["sync"]:
            found.setdefault(name, f"{len(clip.true)} frames, {needed} with audio are needed")
    if len(clip.true) < FVD_FRAMES:
        found["FVD"] = f"{len(clip.true)} frames, {FVD_FRAMES} are needed"
    if min(clip.true.size) < SSIM_WINDOW:
        found["SSIM"] = f"frames of {clip.true.size[1]} x {clip.true.size[0]} px, {SSIM_WINDOW} are needed"
    for name in NATURALNESS[:2]:
        found.setdefault(name, "under two frames with a face, or a truth that does not move")


def _network(observed: dict[str, Any], here: Mapping[str, Any], found: dict[str, str]) -> None:
    """A network that gives NaN for a frame with a face is wrong: its metrics have no value for the clip."""
    for side, points in (("", observed["landmarks"]), ("true_", observed["true_landmarks"])):
        face = points.isfinite().flatten(1).all(dim=1)
        for role, name in (("emotion", "emotion"), ("identity", "identity"), ("expression", "expression")):
            _spoilt(observed, side + name, face, role, here, found)
        for role in ("fid", "fvd"):
            _spoilt(observed, side + role, None, role, here, found)
    _spoilt(observed, "lpips", None, "lpips", here, found)
    for name in ("sync_audio", "sync_video"):
        _spoilt(observed, name, None, "sync", here, found)


def _spoilt(
    observed: dict[str, Any], name: str, face: Tensor | None, role: str, here: Mapping[str, Any], found: dict[str, str]
) -> None:
    values: Tensor = observed[name]
    if role not in here or not len(values) or (face is not None and len(face) != len(values)):
        return
    wrong = ~values.flatten(1).isfinite().all(dim=1) if values.ndim > 1 else ~values.isfinite()
    wrong = wrong if face is None else wrong & face
    if bool(wrong.any()):
        observed[name] = torch.full_like(values, torch.nan)
        text = f"the network {here[role].name} gave values that are not finite in {int(wrong.sum())} of {len(wrong)}"
        found |= dict.fromkeys(USES[role], text)
