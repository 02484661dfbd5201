"""What networks trained on real faces make of a toy set: MediaPipe's landmarker and its scores, SFace's identities.

`python -m studies.toy_faces TOY_FOLDER WEIGHTS_FOLDER [--every 10]` reads every tenth frame of every clip.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from conventions.weights import LANDMARKER
from datamodules.video import read_video
from face3d.coefficients import EXPRESSION
from face3d.landmarker import IBUG, mediapipe_tasks
from metrics.backbones.sface import SFace, arcface_crops
from toyworld.action_units import axes

WATCHED = {
    "jaw opening": (("jaw_open",), ("jawOpen",), 0.7),
    "smile": (("lip_corner_puller",), ("mouthSmileLeft", "mouthSmileRight"), 0.6),
    "brow raise": (
        ("inner_brow_raiser", "outer_brow_raiser"),
        ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
        0.5,
    ),
    "eye closing": (("eye_closure",), ("eyeBlinkLeft", "eyeBlinkRight"), 0.5),
}
"""Movement: our expression axes, MediaPipe's scores, and the rank correlation that is asked for."""


def frames_of(root: Path, every: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Actor, image and expression coefficients of every so-many-th frame of every clip."""
    for video in sorted(root.glob("*/video/**/*.mp4")):
        rows = loadmat(video.with_suffix(".mat"))["coeff"][:, EXPRESSION]
        for index, picture in enumerate(read_video(video)):
            if index % every == every // 2:
                yield video.relative_to(root).parts[0], picture, rows[index]


class RealFaceNetworks:
    """MediaPipe with its blendshape scores, and SFace on the landmarks that it finds."""

    def __init__(self, weights: Path) -> None:
        vision, base = mediapipe_tasks()
        options = vision.FaceLandmarkerOptions(
            base_options=base(model_asset_buffer=(weights / LANDMARKER.name).read_bytes()), output_face_blendshapes=True
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self._sface = SFace(weights / "face_recognition_sface.onnx")

    def look(self, picture: np.ndarray) -> tuple[dict[str, float], torch.Tensor] | None:
        """Blendshape scores and the identity of the face, or None where none is found."""
        import mediapipe

        found = self._landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture))
        if not found.face_landmarks:
            return None
        points = np.array([(point.x, point.y) for point in found.face_landmarks[0]], np.float32)[list(IBUG)]
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
        identity = self._sface.embed_crops(arcface_crops(image, torch.from_numpy(points)[None] * 2 - 1))[0]
        scores = {shape.category_name: shape.score for shape in found.face_blendshapes[0]}
        return scores, torch.nn.functional.normalize(identity, dim=0)

    def close(self) -> None:
        """Free MediaPipe."""
        self._landmarker.close()


def show_movements(actors: np.ndarray, expressions: np.ndarray, scores: list[dict[str, float]]) -> None:
    """Print how well the scores follow the coefficients, over all actors and within each: faces differ at rest too."""
    for name, (movements, shapes, bound) in WATCHED.items():
        asked = expressions[:, [axis for movement in movements for axis in axes(movement)]].mean(1)
        read = np.array([np.mean([each[shape] for shape in shapes]) for each in scores])
        within = np.mean([spearmanr(asked[actors == actor], read[actors == actor])[0] for actor in set(actors)])
        pooled = spearmanr(asked, read)[0]
        print(f"rank correlation of {name}: {pooled:.2f} over all actors (bound {bound}), {within:.2f} within an actor")


def show_identities(actors: np.ndarray, identities: torch.Tensor) -> None:
    """Print how well pairs of one actor are separated from pairs of two."""
    pairs = np.triu_indices(len(actors), 1)
    same = (actors[:, None] == actors)[pairs]
    area = roc_auc_score(same, (identities @ identities.T).numpy()[pairs])
    print(f"SFace, same against other among {len(set(actors))} actors: AUC {area:.3f} (bound 0.95)")


def main() -> None:
    """Print each figure beside its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--every", type=int, default=10)
    options = parser.parse_args()
    networks = RealFaceNetworks(options.weights)
    seen = [(actor, rows, networks.look(picture)) for actor, picture, rows in frames_of(options.root, options.every)]
    networks.close()
    found = [(actor, rows, *look) for actor, rows, look in seen if look]
    print(f"MediaPipe finds a face in {len(found)} of {len(seen)} frames: {len(found) / len(seen):.1%} (bound 95 %)")
    actors, expressions, scores, identities = zip(*found, strict=True)
    show_movements(np.array(actors), np.stack(expressions), list(scores))
    show_identities(np.array(actors), torch.stack(identities))


if __name__ == "__main__":
    main()
