"""Figure 5: compound and new styles, which no training saw, given as text: CLIP's, GPT-2's and one-hot's faces."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, label, liveliest
from conventions.errors import UserError
from datamodules.store import StoredClip
from experiments.graph import FULL
from experiments.samples import as_pictures
from lightning_modules.ame.prompts import style_prompt

VARIANTS: Mapping[str, str] = {FULL: "CLIP (full)", "enc_gpt2": "GPT-2", "enc_onehot": "one-hot"}
REFUSED_GREY = 200
"""Shade of a cell whose encoding cannot express the style."""


def draw(request: Request) -> Plate:
    """A row for each of `rows` unseen styles of the test actors."""
    runs = {name: TalkingRun(request, name) for name in VARIANTS}
    full = runs[FULL]
    clips = spread(list(full.data.test_clips("unseen")), request.rows)
    if not clips:
        raise UserError(f"{full.run.config.data.store}: has no test clip of an unseen style")
    rows, refused = [], False
    for clip in clips:
        item, source = full.materials(clip)
        made = [faces(run, clip) for run in runs.values()]
        refused |= any(face is None for face in made)
        truth = as_pictures(item.frames)
        portrait = as_pictures(source.image[None].expand_as(item.frames))
        cells = [portrait, truth, *(np.full_like(truth, REFUSED_GREY) if face is None else face for face in made)]
        rows.append(Row(label(clip), cells, liveliest(item, source)))
    notes = ["every face: the same portrait, speech and head motion; the style given as text"]
    notes += ["grey: the encoding cannot express this style (one-hot: MEAD's and their mixtures)"] if refused else []
    runs_named = ", ".join(run.run.id for run in runs.values())
    return Plate("Unseen styles", ["source", "truth", *VARIANTS.values()], rows, (*notes, f"runs {runs_named}"))


def spread(clips: Sequence[StoredClip], count: int) -> list[StoredClip]:
    """`count` clips of different styles, evenly over the styles' names, the actors in turn."""
    styles = sorted({clip.emotion for clip in clips if clip.emotion})
    chosen = [styles[index * len(styles) // count] for index in range(min(count, len(styles)))]
    own = [sorted((clip for clip in clips if clip.emotion == style), key=lambda c: c.id) for style in chosen]
    return [each[turn % len(each)] for turn, each in enumerate(own)]


@torch.no_grad()
def faces(run: TalkingRun, clip: StoredClip) -> UInt8[np.ndarray, "t h w 3"] | None:
    """The clip as a run makes it, or None where its encoding refuses the style."""
    try:
        run.pipeline.encoder.encode_text([style_prompt(clip.emotion or "neutral", clip.level or 1, 0)])
    except UserError:
        return None
    return as_pictures(run.talk(clip).frames)
