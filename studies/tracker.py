"""Errors of landmarks and of fitted coefficients on rendered toy clips: `python -m studies.tracker`.

MediaPipe's landmarks (`EMOSPACE_WEIGHTS`) of toy clips at 256 px are compared with the exact ones: what the constants
of `toyworld.tracker` are set by. Then the coefficients that `face3d.fitting` finds from them, and those of the model,
are compared with the exact ones: slope and correlation of each expression axis. 28 clips take two minutes of a core.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from conventions.weights import LANDMARKER
from datamodules.coefficients import fit, project_keypoints
from face3d.coefficients import EXPRESSION
from face3d.landmarker import Landmarker, find_faces
from face3d.morphable import PROCEDURAL, load_model
from toyworld.actors import make_actor, render_frames
from toyworld.face.head import EXPRESSION_NAMES
from toyworld.performance import perform
from toyworld.plan import ClipSpec, clips_of
from toyworld.tracker import PARTS, measured

SIZE, FRAMES, SEED = 256, 50, 0
MOVING = 0.03
"""Axes whose deviation is smaller are not shown."""


@dataclass(frozen=True)
class Clip:
    """One clip: its actor, landmark errors, and expression as it is, as fitted and as the model measures it."""

    actor: str
    error: Float[np.ndarray, "t 68 2"]
    exact: Float[np.ndarray, "t 64"]
    fitted: Float[np.ndarray, "t 64"]
    modelled: Float[np.ndarray, "t 64"]


def clip(spec: ClipSpec, landmarker: Landmarker) -> Clip | None:
    """Render, detect, fit; None where a face is missed."""
    actor = make_actor(spec.actor, SEED)
    shown = perform(spec.actor, actor.coefficients, spec.text, spec.emotion, spec.level, SEED, number=spec.number)
    exact, placement = shown.coefficients[:FRAMES], shown.placement[:FRAMES]
    faces = [find_faces(landmarker, picture) for picture in render_frames(actor, exact, placement, SIZE)]
    if any(face is None for face in faces):
        return None
    points = np.stack([face.landmarks for face in faces if face is not None]) / SIZE * 2 - 1
    fitted = fit(points, placement, load_model(PROCEDURAL))
    named = (spec.actor, spec.emotion, str(spec.level), str(spec.number))
    modelled = measured(exact, placement, SEED, named)
    error = points - project_keypoints(PROCEDURAL, exact, placement)
    return Clip(spec.actor, error, *(vectors[:, EXPRESSION] for vectors in (exact, fitted, modelled)))


def landmark_lines(clips: list[Clip]) -> list[str]:
    """Deviations (x, y) of the landmarks' errors by part of the face."""
    lines = ["part    shared by all   among people    among clips     among frames    lag 1"]
    for name, rows in PARTS.items():
        errors: dict[str, list[np.ndarray]] = defaultdict(list)
        for one in clips:
            errors[one.actor].append(one.error[:, rows])
        people = np.stack([np.mean([e.mean(0) for e in found], axis=0) for found in errors.values()])
        within = np.concatenate([np.stack([e.mean(0) for e in found]) for found in errors.values()])
        within -= np.concatenate([np.repeat(p[None], len(errors[a]), 0) for a, p in zip(errors, people, strict=True)])
        moving = [e - e.mean(0) for found in errors.values() for e in found]
        lag = np.mean([(m[1:] * m[:-1]).mean() / np.square(m).mean() for m in moving])
        rms = [people.mean(0), people - people.mean(0), within, np.concatenate(moving)]
        cells = [np.sqrt(np.square(x).reshape(-1, 2).mean(0)) for x in rms]
        lines.append(f"{name:6}  " + "  ".join(f"{x:.4f} {y:.4f} " for x, y in cells) + f"  {lag:.2f}")
    return lines


def axis_lines(clips: list[Clip]) -> list[str]:
    """Slope and correlation of the fitted and the modelled expression against the exact one, by axis."""
    exact, fitted, modelled = (np.concatenate([getattr(c, n) for c in clips]) for n in ("exact", "fitted", "modelled"))
    lines = ["axis                         deviation   fit: slope  r     model: slope  r"]
    for axis, name in enumerate(EXPRESSION_NAMES):
        true = exact[:, axis]
        if true.std() > MOVING:
            numbers = [number for found in (fitted, modelled) for number in _line(true, found[:, axis])]
            lines.append(f"{name:28} {true.std():.2f}        {numbers[0]:5.2f} {numbers[1]:5.2f}       "
                         f"{numbers[2]:5.2f} {numbers[3]:5.2f}")  # fmt: skip
    return lines


def _line(true: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    slope = np.polyfit(true, found, 1)[0]
    return slope, slope * true.std() / found.std() if found.std() > 1e-6 else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--clips", type=int, default=7, help="of each")
    options, specs, random = parser.parse_args(), clips_of("tiny", SEED), np.random.default_rng(0)
    landmarker, clips = Landmarker(LANDMARKER.find(None)), []
    for actor in sorted({spec.actor for spec in specs})[: options.people]:
        own = [spec for spec in specs if spec.actor == actor]
        for index in random.permutation(len(own))[: options.clips]:
            clips.append(clip(own[index], landmarker))
    landmarker.close()
    found = [one for one in clips if one is not None]
    print(f"{len(found)} of {len(clips)} clips, normalised units", *landmark_lines(found), *axis_lines(found), sep="\n")


if __name__ == "__main__":
    main()
