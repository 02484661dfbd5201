"""The figures that show test clips in rows: 5 (unseen styles), 6 (unseen actors), 7 (mixtures and levels), 9 (L_emo),
10 (ablations of EAC) and 11 (of the flow).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from ablations.figures import Request
from ablations.figures.plate import Plate, Row
from ablations.figures.talking import TalkingRun, colour_scale, label, liveliest, rim_words, title_of, varied
from conventions.errors import UserError
from datamodules.store import StoredClip
from experiments.graph import FULL
from experiments.samples import Sample, as_images, flow_images, panels
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.pipeline import Talking

ENCODINGS: Mapping[str, str] = {FULL: "CLIP (full)", "enc_gpt2": "GPT-2", "enc_onehot": "one-hot"}
REFUSED_GREY = 200
"""Shade of a cell whose encoding cannot express the style."""
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
PAIRS = (("happy", "angry"), ("surprised", "sad"))
RISING = ("happy", "angry", "sad")
TOP_LEVEL = 3.0

EAC_VARIANTS = (FULL, "eac_wo_emo", "enc_onehot", "enc_gpt2", "eac_mlp", "eac_gru")
FLOW_VARIANTS = (FULL, "hef_wo_res", "hef_wo_hie")

Slider = Callable[[EmotionEncoder, float], EmotionCode]


def unseen_styles(request: Request) -> Plate:
    """Figure 5: styles that no training saw, given as text: a row for each of `rows` styles of the test actors."""
    runs = {name: TalkingRun(request, name) for name in ENCODINGS}
    full = runs[FULL]
    clips = spread(list(full.data.test_clips("unseen")), request.rows)
    if not clips:
        raise UserError(f"{full.run.config.data.store}: has no test clip of an unseen style")
    rows, refused = [], False
    for clip in clips:
        item, source = full.materials(clip)
        made = [faces(run, clip) for run in runs.values()]
        refused |= any(face is None for face in made)
        truth = as_images(item.frames)
        portrait = as_images(source.image[None].expand_as(item.frames))
        cells = [portrait, truth, *(np.full_like(truth, REFUSED_GREY) if face is None else face for face in made)]
        rows.append(Row(label(clip), cells, liveliest(item, source)))
    notes = ["every face: the same portrait, speech and head motion; the style given as text"]
    notes += ["grey: the encoding cannot express this style (one-hot: MEAD's and their mixtures)"] if refused else []
    runs_named = ", ".join(run.run.id for run in runs.values())
    return Plate("Unseen styles", ["source", "truth", *ENCODINGS.values()], rows, (*notes, f"runs {runs_named}"))


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
    return as_images(run.talk(clip).frames)


def unseen_actors(request: Request) -> Plate:
    """Figure 6: actors whom no training saw: source, render, output, truth, and flow of the full model."""
    full = TalkingRun(request)
    clips = varied(full.clips, request.rows)
    made = [full.talk(clip) for clip in clips]
    scale, rows = colour_scale(made), list[Row]()
    for clip, talking in zip(clips, made, strict=True):
        item, source = full.materials(clip)
        sample = Sample(source.image, talking.render, talking.frames, item.frames, talking.flow, item.audio)
        rows.append(Row(label(clip), panels(sample, scale), liveliest(item, source)))
    error = f"flow against true motion, visible skin of test actors: {full.hef['flow_error_px']:.3g} px"
    notes = (error, f"run {full.run.parents['hef'].id}")
    columns = ("source", "render", "output", "truth", "flow")
    return Plate("Actors never seen", columns, rows, notes, rim_words(scale, made[0].flow.shape[-1]))


def interpolation(request: Request) -> Plate:
    """Figure 7: one face between two emotions, and one emotion at rising intensity, by the full model.

    Every image has the portrait, speech and head motion of one test clip of the first actor.
    """
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
                cells.append(as_images(full.pipeline.talk(item, source, codes[0], codes[1]).frames))
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


def emotion_loss(request: Request) -> Plate:
    """Figure 9: render and output with L_emo and without, beside the truth and its own render."""
    titles = {FULL: "w/ L_emo", "eac_wo_emo": title_of("eac_wo_emo")}
    runs = [TalkingRun(request, name) for name in titles]
    full, rows = runs[0], []
    for clip in varied(full.clips, request.rows):
        item, source = full.materials(clip)
        device = full.pipeline.hef.device
        with torch.no_grad():
            true_face = full.pipeline.hef.geometry(item.exact.to(device), item.placement.to(device))[:, :3]
        shown = [source.image[None].expand_as(item.frames), item.frames, true_face]
        for talking in (run.talk(clip) for run in runs):
            shown += [talking.render, talking.frames]
        rows.append(Row(label(clip), [as_images(frames) for frames in shown], liveliest(item, source)))
    columns = ["source", "truth", "truth\nin 3D"]
    columns += [f"{title}\n{what}" for title in titles.values() for what in ("in 3D", "output")]
    named = zip(titles.values(), runs, strict=True)
    errors = ", ".join(f"{title} {run.eac['coefficient_error']:.3g}" for title, run in named)
    notes = (f"error of test coefficients in their deviations: {errors}", _eac_runs(runs))
    return Plate("Emotion consistency", columns, rows, notes)


def eac_variants(request: Request) -> Plate:
    """Figure 10: the ablations of EAC, each on the same portrait, speech and head motion; the full model first."""
    runs = [TalkingRun(request, name) for name in EAC_VARIANTS]
    rows = []
    for clip in varied(runs[0].clips, request.rows):
        item, source = runs[0].materials(clip)
        made = [run.talk(clip).frames for run in runs]
        shown = [source.image[None].expand_as(item.frames), item.frames, *made]
        rows.append(Row(label(clip), [as_images(frames) for frames in shown], liveliest(item, source)))
    notes = ("frames where the truth differs most from the portrait", _eac_runs(runs))
    return Plate("Ablations of EAC", ["source", "truth", *map(title_of, EAC_VARIANTS)], rows, notes)


def flow_variants(request: Request) -> Plate:
    """Figure 11: the flow ablations, each with its output and its flow: full, w/o res. and w/o hie."""
    runs = [TalkingRun(request, name) for name in FLOW_VARIANTS]
    full = runs[0]
    clips = varied(full.clips, request.rows)
    made = [[run.talk(clip) for run in runs] for clip in clips]
    scale = colour_scale([talking for each in made for talking in each])
    rows = [_flow_row(full, clip, each, scale) for clip, each in zip(clips, made, strict=True)]
    titles = [title_of(name) for name in FLOW_VARIANTS]
    columns = ["source", "render", "truth", *(f"{title}\n{what}" for title in titles for what in ("output", "flow"))]
    named = zip(titles, runs, strict=True)
    errors = ", ".join(f"{title} {run.hef['flow_error_px']:.3g}" for title, run in named)
    still = f"{full.hef['still_flow_error_px']:.3g}"
    note = f"flow against true motion, visible skin of test actors, px: {errors}, no flow {still}"
    rim = rim_words(scale, made[0][0].flow.shape[-1])
    return Plate("Hierarchical residual flow", columns, rows, (note, f"run {full.run.parents['hef'].id}"), rim)


def _flow_row(full: TalkingRun, clip: StoredClip, made: Sequence[Talking], scale: float) -> Row:
    item, source = full.materials(clip)
    first = made[0]
    shown = [source.image[None].expand_as(first.frames), first.render, item.frames[: len(first.frames)]]
    cells = [as_images(frames) for frames in shown]
    for talking in made:
        cells += [as_images(talking.frames), flow_images(talking.flow, scale)]
    return Row(label(clip), cells, min(liveliest(item, source), len(first.frames) - 1))


def _eac_runs(runs: Iterable[TalkingRun]) -> str:
    return "runs " + ", ".join(run.run.parents["eac"].id for run in runs)
