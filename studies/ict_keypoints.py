"""Which vertices of ICT-FaceKit lie where MediaPipe puts the 68 landmarks: how `face3d.ict.DETECTED` was found.

python -m studies.ict_keypoints DATA WEIGHTS [--cache FOLDER] [--left-out]

On clips of several people (folders as in `studies/real_fit.py`), in turn: fit the model by its present keypoints,
starting from iBUG's; then make each landmark's keypoint the vertex whose projection lies closest to it over all people
and frames, with mirrored keypoints on mirrored vertices; until nothing moves. Prints the vertices. --left-out repeats
this without each person in turn and prints that person's error by iBUG's keypoints, by everybody's and by the others',
as a share of the distance of the outer eye corners.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from datamodules.clip_face import MAX_FRAMES, release
from face3d import camera, ict
from face3d.coefficients import split
from face3d.fitting import fit_landmarks
from face3d.morphable import MorphableModel, load_ict
from studies.real_fit import project, read_clip, videos

FRAMES, ROUNDS = 24, 8
"""Frames of each person, spread over all clips of it; rounds at most."""

NUM_FACE = 9_409
"""The face's vertices come first."""
REACH, MIRRORED = 0.3, 1e-3
"""How far (decimetres) a keypoint may lie from iBUG's, and a vertex from the mirror image of its partner."""

_OPPOSITE = (
    *(*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)
"""The landmark on the other side of the face."""

People = dict[str, Tensor]
"""Landmarks [t, 68, 2] in crop coordinates of each person."""


def read_people(data: Path, weights: Path, cache: Path | None) -> People:
    """A spread of frames of each person."""
    found = defaultdict(list)
    for video in videos(data):
        clip = read_clip(data, video, weights, MAX_FRAMES, cache)
        found[clip.person].append(clip.landmarks)
    return {name: torch.cat([_spread(c, FRAMES // len(clips)) for c in clips]) for name, clips in found.items()}


def _spread(frames: Tensor, count: int) -> Tensor:
    return frames[torch.linspace(0, len(frames) - 1, count).round().long()]


def eye_distance(landmarks: Tensor) -> Tensor:
    """Distance of the outer eye corners, [t]."""
    return (landmarks[:, 36] - landmarks[:, 45]).norm(dim=-1)


def error(model: MorphableModel, landmarks: Tensor) -> float:
    """Mean distance of landmarks from the fitted model's keypoints, as a share of that of the eye corners."""
    fit = fit_landmarks(model, landmarks)
    distance = (project(model, fit.coefficients, fit.placement) - landmarks).norm(dim=-1).mean(1)
    return (distance / eye_distance(landmarks)).mean().item()


def square_distances(model: MorphableModel, landmarks: Tensor) -> Tensor:
    """Mean squared distance [68, v] of each landmark from each vertex of the fitted face, in eye distances."""
    fit = fit_landmarks(model, landmarks)
    parts = split(fit.coefficients)
    face = replace(
        model,
        mean_shape=model.mean_shape[:NUM_FACE],
        identity_basis=model.identity_basis[:, :NUM_FACE],
        expression_basis=model.expression_basis[:, :NUM_FACE],
    )
    total = torch.zeros(68, NUM_FACE)
    for frame, eyes in enumerate(eye_distance(landmarks)):
        shape = face.shape(parts.identity[frame], parts.expression[frame])
        seen, _ = camera.project(shape, parts.angle[frame], parts.translation[frame], fit.placement[frame])
        total += (torch.cdist(landmarks[frame], seen) / eyes).square() / len(landmarks)
    return total


def closest(model: MorphableModel, distances: Tensor) -> Tensor:
    """Vertex of each landmark by its squared distances [68, v], mirrored in pairs."""
    mean = model.mean_shape[:NUM_FACE].numpy()
    gap, mirror = map(np.asarray, KDTree(mean).query(mean * [-1, 1, 1]))
    start = torch.cdist(model.mean_shape[list(ict.KEYPOINTS)], model.mean_shape[:NUM_FACE])
    both = distances + distances[list(_OPPOSITE)][:, mirror]
    both = both.masked_fill((start > REACH) | torch.from_numpy(gap > MIRRORED), torch.inf)
    own = torch.from_numpy(mirror == np.arange(NUM_FACE))
    middle = torch.tensor([place == other for place, other in enumerate(_OPPOSITE)])
    both = both.masked_fill(middle[:, None] & ~own, torch.inf)
    found = both.argmin(1)
    return torch.tensor(
        [found[k] if k <= other else mirror[found[other]] for k, other in enumerate(_OPPOSITE)], dtype=torch.long
    )


def calibrate(model: MorphableModel, people: People, rounds: int = ROUNDS) -> MorphableModel:
    """The model with the keypoints that these people ask for."""
    for _ in range(rounds):
        distances = torch.stack([square_distances(model, landmarks) for landmarks in people.values()]).mean(0)
        keypoints = closest(model, distances)
        if torch.equal(keypoints, model.keypoints):
            break
        model = replace(model, keypoints=keypoints)
    return model


def main() -> None:
    """Print the vertices, each person's error, and how far from iBUG's they lie."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--left-out", action="store_true")
    options = parser.parse_args()
    people = read_people(options.data, options.weights, options.cache)
    release()
    model = load_ict(options.data / "ict_facekit" / "ict_facekit.npz")
    ibug = replace(model, keypoints=torch.tensor(ict.KEYPOINTS))
    ours = calibrate(ibug, people)
    print(ours.keypoints.tolist())
    moved = (model.mean_shape[ours.keypoints] - model.mean_shape[ibug.keypoints]).norm(dim=-1)
    print(f"{100 * moved.mean():.1f} mm from iBUG's on average, {100 * moved.max():.1f} at most", flush=True)
    for name, landmarks in people.items():
        line = f"{name}: {error(ibug, landmarks):.2%} by iBUG's, {error(ours, landmarks):.2%} by these"
        if options.left_out:
            others = calibrate(ibug, {other: points for other, points in people.items() if other != name})
            line += f", {error(others, landmarks):.2%} by those of the others"
        print(line, flush=True)


if __name__ == "__main__":
    main()
