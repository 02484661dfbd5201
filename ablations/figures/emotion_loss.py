"""Figure 9: what L_emo does to the reconstructed 3D face, and to the frame made of it."""

import torch

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, label, liveliest, title_of, varied
from experiments.graph import FULL
from experiments.samples import as_pictures

TITLES = {FULL: "w/ L_emo", "eac_wo_emo": title_of("eac_wo_emo")}


def draw(request: Request) -> Plate:
    """Render and output with L_emo and without, beside the truth and its own render."""
    runs = [TalkingRun(request, name) for name in TITLES]
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
    columns += [f"{title}\n{what}" for title in TITLES.values() for what in ("in 3D", "output")]
    named = zip(TITLES.values(), runs, strict=True)
    errors = ", ".join(f"{title} {run.eac['coefficient_error']:.3g}" for title, run in named)
    notes = (
        f"error of test coefficients in their deviations: {errors}",
        "runs " + ", ".join(run.run.parents["eac"].id for run in runs),
    )
    return Plate("Emotion consistency", columns, rows, notes)
