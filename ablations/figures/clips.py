"""The figures that show test clips in rows: 6 (unseen actors), 9 (L_emo), 10 (ablations of EAC), 11 (of the flow)."""

from collections.abc import Iterable, Sequence

import torch

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, colour_scale, label, liveliest, rim_words, title_of, varied
from datamodules.store import StoredClip
from experiments.graph import FULL
from experiments.samples import Sample, as_pictures, flow_pictures, panels
from lightning_modules.pipeline import Talking

EAC_VARIANTS = (FULL, "eac_wo_emo", "enc_onehot", "enc_gpt2", "eac_mlp", "eac_gru")
FLOW_VARIANTS = (FULL, "hef_wo_res", "hef_wo_hie")


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
        rows.append(Row(label(clip), [as_pictures(frames) for frames in shown], liveliest(item, source)))
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
        rows.append(Row(label(clip), [as_pictures(frames) for frames in shown], liveliest(item, source)))
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
    cells = [as_pictures(frames) for frames in shown]
    for talking in made:
        cells += [as_pictures(talking.frames), flow_pictures(talking.flow, scale)]
    return Row(label(clip), cells, min(liveliest(item, source), len(first.frames) - 1))


def _eac_runs(runs: Iterable[TalkingRun]) -> str:
    return "runs " + ", ".join(run.run.parents["eac"].id for run in runs)
