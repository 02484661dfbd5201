"""AME's image encoder on real faces after training on the toy world: which emotion it reads off each frame.

python -m studies.real_styles STORE [--runs runs] [--preset toy] [--seeds 0 1 2] [key=value ...]

STORE holds labelled real clips (`emospace prepare`). Each frame is named after the nearest of the eight emotions, by
the mean direction of the emotion's prompts; chance is 1/8. A confusion matrix follows: rows are true, columns named.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ablations.registry import compose_variant
from conventions.emotions import EMOTIONS, NUM_LEVELS
from datamodules import assemble
from datamodules.store import Store, StoredClip
from experiments.graph import FULL, plan
from experiments.networks import Networks
from lightning_modules.ame.emotion import EmotionEncoder
from lightning_modules.ame.evaluation import direction
from lightning_modules.ame.prompts import style_prompts


def emotion_directions(encoder: EmotionEncoder) -> Float[Tensor, "8 512"]:
    """Mean direction of all prompts of each emotion."""
    prompts = [[p for level in range(1, NUM_LEVELS + 1) for p in style_prompts(name, level)] for name in EMOTIONS]
    return torch.stack([direction(encoder.encode_text(texts).vector) for texts in prompts])


def named(
    encoder: EmotionEncoder, store: Store, clip: StoredClip, classes: Float[Tensor, "8 512"], size: int
) -> Int[Tensor, " t"]:
    """The emotion of each frame, as an index in `EMOTIONS`."""
    frames = assemble.pictures(store, clip, range(clip.length), size)
    return (encoder.encode_image(frames).vector @ classes.T).argmax(dim=1)


@torch.no_grad()
def confusion(arguments: argparse.Namespace, seed: int, store: Store) -> Int[Tensor, "8 8"]:
    """Frames by true emotion and by the one they are named after."""
    experiment = compose_variant(arguments.preset, FULL, seed, arguments.overrides)
    planned = plan(experiment)
    [run] = [run for run in planned if run.stage == "ame"]
    encoder = Networks(arguments.runs).typed(run, AMEModule).encoder
    classes, size = emotion_directions(encoder), run.config.data.image_size
    counts = torch.zeros(len(EMOTIONS), len(EMOTIONS), dtype=torch.long)
    for clip in store.clips:
        if clip.emotion in EMOTIONS:
            found = named(encoder, store, clip, classes, size)
            counts[EMOTIONS.index(clip.emotion)] += found.bincount(minlength=len(EMOTIONS))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--preset", default="toy")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    store = Store(arguments.store)
    for seed in arguments.seeds:
        counts = confusion(arguments, seed, store)
        right = counts.diagonal().sum() / counts.sum()
        clips = (counts.argmax(1) == torch.arange(len(EMOTIONS)))[counts.sum(1) > 0]
        print(f"seed {seed}: {right:.3f} of {counts.sum()} frames, {clips.sum()} of {len(clips)} emotions by majority")
        print(" " * 10 + "".join(f"{name[:4]:>6}" for name in EMOTIONS))
        for name, row in zip(EMOTIONS, counts.tolist(), strict=True):
            print(f"{name:>10}" + "".join(f"{count:6d}" for count in row))


if __name__ == "__main__":
    main()
