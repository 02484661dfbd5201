"""A face model fitted to real faces: how far from the landmarks it stays, and whether its mouth opens with theirs.

python -m studies.real_fit DATA WEIGHTS [--model ict] [--cache FOLDER] [--frames N]

DATA holds `talking/`, `mead_styles/` (clips with a `.mat` of Deep3DFaceRecon beside them) and `mead_sample/` (clips
without one), and `ict_facekit/ict_facekit.npz`. MediaPipe finds the landmarks of every frame at 25 fps, the crop is
that of `prepare`, and the model is fitted as `prepare` does. Landmarks are kept in --cache, so that trials are cheap.

Error: mean distance of the 68 landmarks from the model's keypoints as the coefficients alone place them (the detector's
constant bias, which the fit allows for, counts as error here), as a share of the distance of the outer eye corners (and
of the eyes' middles, "pupils").

Opening of the mouth: of the fit, the model's own inner lips by its expression coefficients; of the landmarks, the inner
lips' distance over that of the eye corners; of the given coefficients, whose model (BFM09) cannot be shipped, a linear
readout of their 64 expression numbers, learnt from the landmarks' opening in clips of other people and thus blind to
the clip that it reads. "given" is how well the fit follows it, "readout" how well the landmarks themselves do: hardly
more can be reached. A `.mat` with fewer rows than the clip has frames lacks those of its first frames: two in
`talking`, whose frame j shows row j - 2 (a readout of the clip's own first half follows its second with r .86 to .98;
with row j .51 to .67).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conventions.weights import LANDMARKER
from datamodules.clip_face import MAX_FRAMES, release, track_landmarks
from datamodules.coefficients import read_mat
from datamodules.crop import align, camera_windows, fixed_crop, to_crop
from datamodules.video import iterate_frames
from face3d import camera
from face3d.coefficients import EXPRESSION, IDENTITY, split
from face3d.fitting import fit_landmarks
from face3d.fitting_problem import expression_prior
from face3d.keypoints import JAW, MOUTH
from face3d.morphable import MorphableModel, keypoint_model, load_model
from lightning_modules.eac.evaluation import EYE_CORNERS, fit_readout, measured_opening, model_readout

ERROR_BOUND, FOLLOWS_BOUND = 0.02, 0.8
COLUMNS = ("error", "of pupils", "without jaw", "with bias", "given", "readout", "landmarks", "identity", "strength")


@dataclass(frozen=True)
class Clip:
    """Landmarks of each frame in crop coordinates; given expression coefficients of the frames that have a row."""

    name: str
    landmarks: Tensor
    given: Tensor | None = None
    frames: Tensor | None = None
    """Which frames the rows of `given` belong to."""

    @property
    def person(self) -> str:
        """Who is seen: the name up to the view, or all of it."""
        return self.name.split("_front_")[0]

    def pair(self) -> tuple[Tensor, Tensor]:
        """Given coefficients and the landmarks' opening in the same frames, centred."""
        assert self.given is not None
        assert self.frames is not None
        opening = measured_opening(self.landmarks)[self.frames]
        return self.given - self.given.mean(0), opening - opening.mean()


def videos(data: Path) -> Iterator[Path]:
    """All clips, those of one folder after those of another."""
    for folder in ("mead_styles", "talking", "mead_sample"):
        yield from sorted((data / folder).rglob("*.mp4"))


def clip_name(data: Path, video: Path) -> str:
    """A clip's path within the data, as one word."""
    return "_".join(video.relative_to(data).with_suffix("").parts)


def read_clip(data: Path, video: Path, weights: Path, limit: int = MAX_FRAMES, cache: Path | None = None) -> Clip:
    """Landmarks of a clip's first frames, found or read from the cache, and the coefficients beside it."""
    name = clip_name(data, video)
    stored = cache / f"{name}_{limit}.npz" if cache else None
    if stored and stored.is_file():
        with np.load(stored, allow_pickle=False) as file:
            points, size, shown = file["points"], file["size"], file["shown"]
    else:
        points, size = track_landmarks(video, LANDMARKER.find(weights), limit)
        shown = np.array([frame.source_index for frame in iterate_frames(video)])
        if stored:
            stored.parent.mkdir(parents=True, exist_ok=True)
            np.savez(stored, points=points, size=size, shown=shown)
    width, height = map(int, size)
    crop = fixed_crop(camera_windows(align(points, width, height), width, height))
    return Clip(name, torch.from_numpy(to_crop(points, crop)), *_given(video, shown, len(points)))


def _given(video: Path, shown: np.ndarray, count: int) -> tuple[Tensor | None, Tensor | None]:
    """Expression coefficients of those of the first `count` frames that have a row, and the numbers of these frames."""
    sidecar = video.with_suffix(".mat")
    if not sidecar.is_file():
        return None, None
    expression = read_mat(sidecar).coefficients[:, EXPRESSION]
    rows = shown[:count] - (shown[-1] + 1 - len(expression))
    frames = np.flatnonzero((rows >= 0) & (rows < len(expression)))
    return torch.from_numpy(expression[rows[frames]]), torch.from_numpy(frames)


def correlation(one: Tensor, other: Tensor) -> float:
    return torch.corrcoef(torch.stack([one, other]))[0, 1].item()


def read_given(clip: Clip, clips: Sequence[Clip]) -> Tensor:
    """Opening in the given coefficients of a clip, read out by weights learnt on clips of other people; centred."""
    others = [other.pair() for other in clips if other.given is not None and other.person != clip.person]
    weights = fit_readout(*(torch.cat(parts) for parts in zip(*others, strict=True)))
    return clip.pair()[0] @ weights


def project(model: MorphableModel, coefficients: Tensor, placement: Tensor) -> Tensor:
    """The model's 68 keypoints [t, 68, 2] as coefficients alone place them."""
    parts = split(coefficients)
    points = keypoint_model(model).shape(parts.identity, parts.expression)
    return camera.project(points, parts.angle, parts.translation, placement)[0]


def measure(model: MorphableModel, clip: Clip) -> tuple[dict[str, float], Tensor, Tensor]:
    """A clip's figures, and each frame's error [t] and opening of the mouth [t] in the fit."""
    target = clip.landmarks
    fit = fit_landmarks(model, target)
    distance = (project(model, fit.coefficients, fit.placement) - target).norm(dim=-1)
    eyes = (target[:, EYE_CORNERS[0]] - target[:, EYE_CORNERS[1]]).norm(dim=-1)
    pupils = (target[:, 36:42].mean(1) - target[:, 42:48].mean(1)).norm(dim=-1)
    expression, deviation = fit.coefficients[:, EXPRESSION], expression_prior(model).deviation[:64].float()
    opening = model_readout(keypoint_model(model).expression_basis[:64, MOUTH])(expression)
    row = {
        "error": (distance.mean(1) / eyes).mean().item(),
        "of pupils": (distance.mean(1) / pupils).mean().item(),
        "without jaw": (distance[:, JAW.stop :].mean(1) / eyes).mean().item(),
        "with bias": (fit.error / eyes).mean().item(),
        "landmarks": correlation(opening, measured_opening(target)),
        "identity": fit.coefficients[0, IDENTITY].square().mean().sqrt().item(),
        "strength": (expression[:, : len(deviation)] / deviation).square().mean().sqrt().item(),
    }
    return row, distance.mean(1) / eyes, opening


def compare(clip: Clip, clips: Sequence[Clip], opening: Tensor) -> tuple[dict[str, float], Tensor]:
    """How the fit's opening follows that of the given coefficients; both [2, n], centred, where there are rows."""
    given = read_given(clip, clips)
    fitted = opening[clip.frames]
    row = {"given": correlation(fitted, given), "readout": correlation(clip.pair()[1], given)}
    return row, torch.stack([fitted - fitted.mean(), given])


def cell(column: str, row: dict[str, float]) -> str:
    """A figure as the table prints it: shares in %, correlations and root mean squares as they are."""
    if column not in row:
        return "-"
    return f"{row[column]:.2%}" if column in COLUMNS[:4] else f"{row[column]:.2f}"


def table_line(name: str, frames: int, row: dict[str, float]) -> str:
    """A line of the Markdown table."""
    return f"| {name} | {frames} | {' | '.join(cell(column, row) for column in COLUMNS)} |"


def mean_row(rows: Sequence[dict[str, float]], frames: Sequence[int]) -> dict[str, float]:
    """Each column's mean over the clips that have it, a frame counting as much as any other."""
    found = {}
    for column in COLUMNS:
        there = [(row[column], count) for row, count in zip(rows, frames, strict=True) if column in row]
        found[column] = sum(value * count for value, count in there) / sum(count for _, count in there)
    return found


def main() -> None:
    """Print each clip's figures and those of all frames together beside their bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model", choices=("ict", "procedural-v1"), default="ict")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--frames", type=int, default=MAX_FRAMES, help="of each clip")
    options = parser.parse_args()
    model = load_model(options.model, options.data / "ict_facekit" / "ict_facekit.npz")
    clips = [read_clip(options.data, v, options.weights, options.frames, options.cache) for v in videos(options.data)]
    release()
    rows, errors, openings = [], [], []
    print(f"| clip | frames | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 2)}")
    for clip in clips:
        row, error, opening = measure(model, clip)
        errors.append(error)
        if clip.given is not None:
            follows, both = compare(clip, clips, opening)
            row |= follows
            openings.append(both)
        rows.append(row)
        print(table_line(clip.name, len(error), row), flush=True)
    lengths = [len(error) for error in errors]
    print(table_line("mean over frames", sum(lengths), mean_row(rows, lengths)))
    print(
        f"all frames: error {torch.cat(errors).mean():.2%} (bound {ERROR_BOUND:.0%}), opening against the given "
        f"coefficients' {correlation(*torch.cat(openings, dim=1)):.2f} (bound {FOLLOWS_BOUND})"
    )


if __name__ == "__main__":
    main()
