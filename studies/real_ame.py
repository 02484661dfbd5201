"""AME on real voices and images, each group of actors left out once, beside logistic regression on the same features.

python -m studies.real_ame VOICES OUT.json [--pictures PICTURES] [--runs runs] [--folds 4] [key=value ...]

VOICES and PICTURES are stores as `experiments/configs/real_ame.yaml` describes them. Actors of VOICES are left out in
groups of equal size, in the order of their names. Logistic regression sees mean and deviation over time of the features
that AME's voice encoder reads, standardised (scikit-learn's defaults), and the grey pixels of the images. Without
images AME trains on voices and words alone.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conventions.files import write_json, write_text
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from datamodules.store import Store
from experiments.checks import check_plan
from experiments.graph import Experiment, compose, plan
from experiments.networks import Networks
from experiments.runner import execute
from experiments.stage import StageRun
from lightning_modules.ame.evaluation import voice_vector, zero_shot
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.prompts import plain_prompts
from lightning_modules.ame.space import EmotionSpace

SHOWN = (
    "accuracy/audio",
    "synonym_accuracy/audio",
    "intensity_spearman/audio",
    "accuracy/image",
    "synonym_accuracy/image",
)


def groups(actors: list[str], folds: int) -> list[list[str]]:
    """Actors left out together."""
    return [list(part) for part in np.array_split(np.array(actors), folds)]


def write_split(path: Path, actors: list[str]) -> str:
    """The split that tests these actors."""
    write_text(path, yaml.safe_dump({"name": path.stem, "train": "rest", "test": actors}))
    return str(path)


def trained(experiment: Experiment, runs: Path) -> StageRun:
    """The experiment's target, finished."""
    planned = plan(experiment)
    check_plan(planned, runs)
    result = execute(experiment, runs)
    assert result.exit_code == 0, result
    return planned[-1]


def run_fold(split: str, options: argparse.Namespace) -> dict[str, float]:
    """Train AME with the actors of a split left out, through the stage itself; its own test metrics."""
    stores = [f"{{store: {options.voices}, split: {split}}}"]
    if options.pictures:
        stores.append(f"{{store: {options.pictures}, split: picture_folders}}")
    words = [f"ame.data=[{', '.join(stores)}]", "tracking.mode=disabled", *options.overrides]
    words += [] if options.pictures else ["ame.image.tower=none"]
    experiment = compose("real_ame", overrides=words, target="ame")
    run = trained(experiment, options.runs)
    metrics = run.folder(options.runs).read("metrics.json")["metrics"]
    encoder = Networks(options.runs).typed(run, AMEModule).cpu().encoder
    known = among_known(encoder, DataConfig(str(options.voices), split, voice=experiment.config.data.voice))
    return {"run": run.id, "known/audio": known, **{name: metrics[name] for name in SHOWN if name in metrics}}


@torch.no_grad()
def among_known(encoder: EmotionSpace, config: DataConfig) -> float:
    """Accuracy of the test voices among the emotions that the store has, by their plain words."""
    data = MEADDataModule(config, "ame", 1)
    clips = list(data.test_clips())
    vectors = torch.stack([voice_vector(encoder, data.clip_item(clip).voice) for clip in clips])
    names = [clip.emotion or "" for clip in clips]
    return zero_shot(vectors, names, {name: encoder.encode_text(plain_prompts(name)).vector for name in set(names)})


def voice_rows(store: Store, feature: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation of the feature of each clip, its emotion and its actor."""
    rows, clips = store.speech(feature), store.clips
    columns = [np.array(rows[clip.rows], np.float64).reshape(-1, rows.shape[-1]) for clip in clips]
    pooled = np.stack([np.concatenate([part.mean(0), part.std(0)]) for part in columns])
    return pooled, np.array([clip.emotion for clip in clips]), np.array([clip.actor for clip in clips])


def picture_rows(config: DataConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised grey pixels of each image, its emotion and whether it is left out."""
    data = MEADDataModule(config, "ame", 1)
    grey = np.stack([data.clip_item(clip).frames[0].mean(0).numpy().ravel() for clip in data.store.clips])
    grey = (grey - grey.mean(1, keepdims=True)) / (grey.std(1, keepdims=True) + 1e-6)
    roles = np.array([data.split.role(clip.actor) == "test" for clip in data.store.clips])
    return grey, np.array([clip.emotion for clip in data.store.clips]), roles


def regression(rows: np.ndarray, emotions: np.ndarray, tested: np.ndarray) -> float:
    """Accuracy of logistic regression on the rows that are tested."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(rows[~tested], emotions[~tested])
    return float(accuracy_score(emotions[tested], model.predict(rows[tested])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("voices", "out", "--pictures"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the folds to run; default: all")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    config = compose("real_ame", overrides=options.overrides, target="ame").config
    voices = Store(options.voices)
    pooled, emotions, actors = voice_rows(voices, config.data.voice)
    folds: list[dict[str, Any]] = []
    for number, group in enumerate(groups(sorted(set(actors)), options.folds)):
        if options.only is not None and number not in options.only:
            continue
        split = write_split(options.out.parent / f"voices_{number}.yaml", group)
        tested = np.isin(actors, group)
        row = {"left_out": group, "regression/audio": regression(pooled, emotions, tested), **run_fold(split, options)}
        folds.append(row)
        print({name: round(value, 3) for name, value in row.items() if isinstance(value, float)}, flush=True)
    means = {
        name: float(np.mean([row[name] for row in folds]))
        for name, value in folds[0].items()
        if isinstance(value, float)
    }
    document: dict[str, Any] = {"folds": folds, "mean": means, "voices": voices.hash, "overrides": options.overrides}
    document["emotions"] = sorted(set(emotions.tolist()))
    if options.pictures:
        data = DataConfig(str(options.pictures), "picture_folders", image_size=config.data.image_size)
        document |= {"pictures": Store(options.pictures).hash, "regression/image": regression(*picture_rows(data))}
    write_json(options.out, document)
    print({name: value for name, value in document.items() if name not in ("folds", "overrides")})


if __name__ == "__main__":
    main()
