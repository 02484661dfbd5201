"""Figure 11: the flow ablations side by side: full, w/o res. and w/o hie., each with its output and its flow."""

from collections.abc import Sequence

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, colour_scale, label, liveliest, rim_words, title_of, varied
from datamodules.store import StoredClip
from experiments.graph import FULL
from experiments.samples import as_pictures, flow_pictures
from lightning_modules.pipeline import Talking

VARIANTS = (FULL, "hef_wo_res", "hef_wo_hie")


def draw(request: Request, variants: Sequence[str] = VARIANTS) -> Plate:
    """The variants' plate, the full model's output first."""
    runs = {name: TalkingRun(request, name) for name in variants}
    full = runs[variants[0]]
    clips = varied(full.clips, request.rows)
    made = {name: [run.talk(clip) for clip in clips] for name, run in runs.items()}
    scale = colour_scale([talking for each in made.values() for talking in each])
    rows = [_row(full, clip, [made[name][place] for name in variants], scale) for place, clip in enumerate(clips)]
    titles = [title_of(name) for name in variants]
    columns = ["source", "render", "truth", *(f"{title}\n{what}" for title in titles for what in ("output", "flow"))]
    errors = ", ".join(f"{t} {runs[n].hef['flow_error_px']:.3g}" for t, n in zip(titles, variants, strict=True))
    still = f"{full.hef['still_flow_error_px']:.3g}"
    note = f"flow against true motion, visible skin of test actors, px: {errors}, no flow {still}"
    rim = rim_words(scale, made[variants[0]][0].flow.shape[-1])
    return Plate("Hierarchical residual flow", columns, rows, (note, f"run {full.run.parents['hef'].id}"), rim)


def _row(full: TalkingRun, clip: StoredClip, made: Sequence[Talking], scale: float) -> Row:
    item, source = full.materials(clip)
    first = made[0]
    shown = [source.image[None].expand_as(first.frames), first.render, item.frames[: len(first.frames)]]
    cells = [as_pictures(frames) for frames in shown]
    for talking in made:
        cells += [as_pictures(talking.frames), flow_pictures(talking.flow, scale)]
    return Row(label(clip), cells, min(liveliest(item, source), len(first.frames) - 1))
