"""Figure 10: the ablations of EAC side by side, each on the same portrait, speech and head motion."""

from collections.abc import Sequence

from ablations.figures.plate import Plate, Row
from ablations.figures.registry import Request
from ablations.figures.talking import TalkingRun, label, liveliest, title_of, varied
from experiments.graph import FULL
from experiments.samples import as_pictures

VARIANTS = (FULL, "eac_wo_emo", "enc_onehot", "enc_gpt2", "eac_mlp", "eac_gru")


def draw(request: Request, variants: Sequence[str] = VARIANTS) -> Plate:
    """The variants' plate, the full model's output first."""
    runs = [TalkingRun(request, name) for name in variants]
    rows = []
    for clip in varied(runs[0].clips, request.rows):
        item, source = runs[0].materials(clip)
        made = [run.talk(clip).frames for run in runs]
        shown = [source.image[None].expand_as(item.frames), item.frames, *made]
        rows.append(Row(label(clip), [as_pictures(frames) for frames in shown], liveliest(item, source)))
    notes = (
        "frames where the truth differs most from the portrait",
        "runs " + ", ".join(run.run.parents["eac"].id for run in runs),
    )
    return Plate("Ablations of EAC", ["source", "truth", *map(title_of, variants)], rows, notes)
