"""ICT-FaceKit fitted to real faces: as near to the landmarks, and with as open a mouth, as the benchmark says."""

from pathlib import Path

import pytest
import torch

from datamodules.clip_face import release
from face3d.morphable import load_ict

FRAMES = 100
WATCHED = ("angry", "happy", "surprised", "speaker_1", "speaker_2", "speaker_3", "speaker_4")


@pytest.mark.slow
@pytest.mark.real
def test_ict_follows_real_faces(real_data: Path, real_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mediapipe")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from studies import real_fit

    model = load_ict(real_data / "ict_facekit" / "ict_facekit.npz")
    chosen = [path for path in real_fit.videos(real_data) if path.with_suffix(".mat").is_file()]
    chosen = [path for path in chosen if any(f"{name}_" in f"{path.stem}_" for name in WATCHED)]
    assert len(chosen) == len(WATCHED)
    clips = [real_fit.read_clip(real_data, video, real_weights, FRAMES) for video in chosen]
    release()
    openings = []
    for clip in clips:
        row, _, opening = real_fit.measure(model, clip)
        assert row["error"] < real_fit.ERROR_BOUND, clip.name
        assert row["landmarks"] > 0.9, clip.name
        assert row["identity"] < 1, "no face beyond what the model's prior calls usual"
        assert row["strength"] < 0.5, "few movements at once"
        openings.append(real_fit.compare(clip, clips, opening)[1])
    assert real_fit.correlation(*torch.cat(openings, dim=1)) >= real_fit.FOLLOWS_BOUND
