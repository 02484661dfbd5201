"""EAC on real talking clips, each person left out once, beside ridge regression on the same speech features.

python -m studies.real_eac FACES OUT.json [--speech mfcc hf:whisper-tiny.en-encoder:2] [--folds 7] [key=value ...]

FACES is a store as `experiments/configs/real_eac.yaml` describes it, whose actors are people. Every seventh one, in the
order of their names, is left out at a time. The truth is the opening of the mouth by the images' landmarks, lips over
the distance of the eyes. EAC's opening is that of its coefficients by the face model's lips; ridge regression predicts
the opening itself, each clip standardised.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from conventions.files import write_json
from datamodules.mead import MEADDataModule
from datamodules.offsets import mouth_opening
from datamodules.store import Store, StoredClip
from experiments.graph import compose
from experiments.networks import Networks
from face3d.coefficients import EXPRESSION, IDENTITY
from lightning_modules.eac.evaluation import expression_metrics
from lightning_modules.eac.losses import mouth_opening as opening_of
from lightning_modules.eac.module import EACModule
from studies.real_ame import trained, write_split

MOST_LAG = 6
"""Frames by which audio and video of a clip may be apart."""
RIDGE = 1.0
"""Penalty for each frame, on standardised features."""


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's."""
    return float(np.corrcoef(first, second)[0, 1])


def follows(predicted: Float[np.ndarray, " t"], true: Float[np.ndarray, " t"]) -> dict[str, float]:
    """Correlation with the truth as it is, and at the lag of at most `MOST_LAG` frames where it is greatest."""
    count = len(true)
    lags = {
        lag: correlation(predicted[max(-lag, 0) : count - max(lag, 0)], true[max(lag, 0) : count - max(-lag, 0)])
        for lag in range(-MOST_LAG, MOST_LAG + 1)
    }
    best = max(lags, key=lambda lag: lags[lag])
    return {"plain": lags[0], "best_lag": lags[best], "lag": best}


def ridge(store: Store, speech: str, trained: Sequence[StoredClip], tested: Sequence[StoredClip]) -> list[dict]:
    """How ridge regression on the features of single frames follows the mouths of the tested clips."""
    rows = {clip.id: np.array(store.speech(speech)[clip.rows], np.float64).reshape(clip.length, -1) for clip in trained}
    every = np.concatenate(list(rows.values()))
    mean, deviation = every.mean(0), every.std(0) + 1e-6
    gram, moment = RIDGE * len(every) * np.eye(every.shape[1]), np.zeros(every.shape[1])
    for clip in trained:
        given, opening = (rows[clip.id] - mean) / deviation, truth(store, clip)
        given = given - given.mean(0)
        gram += given.T @ given
        moment += given.T @ ((opening - opening.mean()) / (opening.std() + 1e-9))
    weights = np.linalg.solve(gram, moment)
    tests = {clip.id: np.array(store.speech(speech)[clip.rows], np.float64).reshape(clip.length, -1) for clip in tested}
    return [follows((tests[clip.id] - mean) / deviation @ weights, truth(store, clip)) for clip in tested]


def truth(store: Store, clip: StoredClip) -> Float[np.ndarray, " t"]:
    """Opening of the mouth by the landmarks."""
    return mouth_opening(np.array(store.landmarks[clip.rows], np.float64))


@torch.no_grad()
def predicted(module: EACModule, data: MEADDataModule, clip: StoredClip) -> dict[str, Any]:
    """How EAC follows the mouth of a clip, and the errors of its coefficients."""
    item = data.clip_item(clip)
    expression = module.predict_speech(item.speech, module.clip_code(item), item.coefficients[:1, IDENTITY])
    assert module.basis is not None
    errors = expression_metrics(
        expression, item.coefficients[:, EXPRESSION], module.network.expression_statistics, None
    )
    return {**follows(opening_of(expression, module.basis).double().numpy(), truth(data.store, clip)), **errors}


def run_fold(speech: str, split: str, options: argparse.Namespace) -> tuple[str, EACModule, MEADDataModule]:
    """EAC trained through its stage with the test actors of a split left out, and its data."""
    words = [f"data.store={options.faces}", f"data.split={split}", f"data.speech={speech}", "tracking.mode=disabled"]
    experiment = compose("real_eac", overrides=[*words, *options.overrides], target="eac")
    run = trained(experiment, options.runs)
    data = MEADDataModule(experiment.config.data, "eac", 1, resolution=experiment.config.data.image_size)
    return run.id, Networks(options.runs).typed(run, EACModule).cpu(), data


def study(speech: str, number: int, people: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each clip of the people left out."""
    split = write_split(options.out.parent / f"faces_{number}.yaml", people)
    run, module, data = run_fold(speech, split, options)
    tested = [clip for clip in data.test_clips() if clip.has_audio and clip.has_coefficients]
    by_ridge = ridge(data.store, speech, list(data.train_clips()), tested)
    return [
        {"clip": clip.id, "fold": number, "run": run, "ridge": one, "eac": predicted(module, data, clip)}
        for clip, one in zip(tested, by_ridge, strict=True)
    ]


def means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over clips."""
    return {
        kind: {name: float(np.mean([row[kind][name] for row in rows])) for name in rows[0][kind]}
        for kind in ("ridge", "eac")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--speech", nargs="+", default=["mfcc", "hf:whisper-tiny.en-encoder:2"])
    parser.add_argument("--folds", type=int, default=7)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the folds to run; default: all")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    store = Store(options.faces)
    people = sorted({clip.actor for clip in store.clips if clip.has_audio and clip.has_coefficients})
    chosen = options.only if options.only is not None else range(options.folds)
    document: dict[str, Any] = {"store": store.hash, "people": len(people), "overrides": options.overrides}
    for speech in options.speech:
        rows = [row for k in chosen for row in study(speech, k, people[k :: options.folds], options)]
        document[speech] = {"mean": means(rows), "clips": rows}
        print(speech, len(rows), document[speech]["mean"], flush=True)
        write_json(options.out, document)


if __name__ == "__main__":
    main()
