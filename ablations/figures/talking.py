"""What figures of clips are made from: the pipelines of finished runs, and test clips of actors never seen."""

from collections.abc import Sequence

import torch

from ablations.figures import Request
from ablations.registry import compose_variant, find_variant
from conventions.errors import UserError
from datamodules.mead import ClipItem, Reference
from datamodules.store import StoredClip
from experiments.graph import FULL, plan
from experiments.networks import Networks, device_of, load_pipeline
from experiments.scoring import chosen_clips, speak, test_data
from experiments.stage import StageRun
from face3d.coefficients import EXPRESSION
from lightning_modules.pipeline import Talking


def finished_run(request: Request, variant: str, needed: Sequence[str] = ("eac", "hef")) -> StageRun:
    """The evaluation run of a variant whose `needed` stages are done; UserError with the command that makes them."""
    words = [request.preset, *(["--variant", variant] if variant != FULL else []), "--seed", str(request.seed)]
    command = " ".join(["emospace run", *words, *request.overrides])
    experiment = compose_variant(request.preset, variant, request.seed, request.overrides)
    try:
        planned = plan(experiment)
    except UserError as error:
        made = f"; `{command}` makes it" if experiment.config.world.fills_store else ""
        raise UserError(f"{error}{made}") from error
    for one in planned:
        if one.stage in needed and (state := one.folder(request.runs).state()) != "done":
            raise UserError(f"run {one.id} is {state} in {request.runs}; `{command}` makes it")
    return planned[-1]


class TalkingRun:
    """One finished run's pipeline over the test clips, and what its EAC and HEF measured."""

    def __init__(self, request: Request, variant: str = FULL) -> None:
        self.run = finished_run(request, variant)
        self.pipeline = load_pipeline(self.run, Networks(request.runs), device_of(self.run))
        self.data = test_data(self.run)
        self.clips = chosen_clips(self.run, self.data)
        self.eac, self.hef = (
            self.run.parents[stage].folder(request.runs).read("metrics.json")["metrics"] for stage in ("eac", "hef")
        )

    def materials(self, clip: StoredClip) -> tuple[ClipItem, Reference]:
        """The clip and its actor's portrait."""
        return self.data.clip_item(clip), self.data.reference_frame(clip.actor)

    @torch.no_grad()
    def talk(self, clip: StoredClip) -> Talking:
        """The clip's speech and style on its actor's portrait."""
        return speak(self.pipeline, self.run, self.data, clip, *self.materials(clip))


def varied(clips: Sequence[StoredClip], count: int) -> list[StoredClip]:
    """`count` clips: actor after actor, each a further emotion at its strongest, as far as they reach."""
    chosen: list[StoredClip] = []
    free = [clip for clip in clips if clip.emotion not in ("neutral", None)] or list(clips)
    actors = sorted({clip.actor for clip in free})
    for turn in range(min(count, len(free))):
        used = {clip.emotion for clip in chosen}
        own = [clip for clip in free if clip.actor == actors[turn % len(actors)]] or free
        chosen.append(min(own, key=lambda c: (c.emotion in used, -(c.level or 0), c.emotion or "", c.id)))
        free.remove(chosen[-1])
    return chosen


def label(clip: StoredClip) -> str:
    """Actor, emotion and level."""
    level = f" {clip.level}" if clip.level else ""
    emotion = (clip.emotion or "unlabelled").replace("_", "\n")
    return f"{clip.actor}\n{emotion}{level}"


def title_of(variant: str) -> str:
    """A variant's name in a heading."""
    return "full" if variant == FULL else find_variant(variant).title


def liveliest(item: ClipItem, source: Reference) -> int:
    """The frame whose true expression differs most from the portrait's: what it shows depends on no model."""
    return int((item.coefficients[:, EXPRESSION] - source.coefficients[EXPRESSION]).norm(dim=1).argmax())


def colour_scale(made: Sequence[Talking]) -> float:
    """Flow length of the wheel's rim in normalised units: one in a hundred pixels moves further."""
    lengths = torch.cat([talking.flow.norm(dim=1).flatten() for talking in made])
    return max(float(lengths.kthvalue(max(1, round(0.99 * len(lengths)))).values), 1e-6)


def rim_words(scale: float, size: int) -> str:
    """The rim in pixels of the frame."""
    return f"{scale * size / 2:.1f} px of {size}"
