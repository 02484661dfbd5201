"""Figure 7: one face between two emotions, and one emotion at rising intensity."""

from collections.abc import Callable

import torch

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, liveliest
from experiments.samples import as_pictures
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.prompts import style_prompt

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
PAIRS = (("happy", "angry"), ("surprised", "sad"))
RISING = ("happy", "angry", "sad")
TOP_LEVEL = 3.0

Slider = Callable[[EmotionEncoder, float], EmotionCode]


def draw(request: Request) -> Plate:
    """The full model on one test clip: its first actor's portrait, speech and head motion in every picture."""
    full = TalkingRun(request)
    clip = min(full.clips, key=lambda c: (c.emotion != "neutral", c.id))
    item, source = full.materials(clip)
    sliders = {f"{first} to\n{second}": between(first, second) for first, second in PAIRS}
    sliders |= {f"{emotion},\nlevel 0 to 3": rising(emotion) for emotion in RISING}
    rows = []
    for name, slider in sliders.items():
        cells = []
        for step in STEPS:
            codes = [slider(encoder, step) for encoder in (full.pipeline.encoder, full.pipeline.hef_encoder)]
            with torch.no_grad():
                cells.append(as_pictures(full.pipeline.talk(item, source, codes[0], codes[1]).frames))
        rows.append(Row(name, cells, liveliest(item, source)))
    notes = (f"speech, head motion and portrait of {clip.actor}; only the emotion differs", f"run {full.run.id}")
    return Plate("Interpolation and intensity", [f"{step:.0%}" for step in STEPS], rows, notes)


def between(first: str, second: str) -> Slider:
    """Along the great circle of the emotion space, both at their strongest."""

    def slide(encoder: EmotionEncoder, step: float) -> EmotionCode:
        codes = [encoder.encode_text([style_prompt(name, int(TOP_LEVEL), 0)]) for name in (first, second)]
        return encoder.mix(codes[0], codes[1], torch.tensor([step], device=codes[0].vector.device))

    return slide


def rising(emotion: str) -> Slider:
    """One emotion with its token moved from level 0 to 3."""

    def slide(encoder: EmotionEncoder, step: float) -> EmotionCode:
        code = encoder.encode_text([style_prompt(emotion, 2, 0)])
        return encoder.with_level(code, torch.tensor([TOP_LEVEL * step], device=code.vector.device))

    return slide
