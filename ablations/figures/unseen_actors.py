"""Figure 6: actors whom no training saw: source, render, output, truth, and flow."""

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, colour_scale, label, liveliest, rim_words, varied
from experiments.samples import Sample, panels

COLUMNS = ("source", "render", "output", "truth", "flow")


def draw(request: Request) -> Plate:
    """The full model's plate."""
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
    return Plate("Actors never seen", COLUMNS, rows, notes, rim_words(scale, made[0].flow.shape[-1]))
