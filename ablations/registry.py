"""Every variant of the paper's tables, as data. A new one is one entry here, or a YAML file."""

from collections.abc import Sequence
from pathlib import Path

from ablations.variants import YAML, Expectation, Variant, load_variant, packaged_row, row_variant
from conventions.errors import UserError, nearest
from experiments.graph import FULL, Experiment, compose

_ALL_WORSE: dict[str, Expectation] = {"EFD": "worse", "LMD": "worse", "Sync": "worse"}

VARIANTS: tuple[Variant, ...] = (
    Variant(
        FULL,
        "Ours (full model)",
        "evaluate",
        "Text-conditioned, Transformer EAC with L_emo, hierarchical residual HEF: every full row of Tables 1 and 3.",
    ),
    Variant(
        "eac_wo_emo",
        "w/o L_emo",
        "eac",
        "Comparing rendered emotion in training makes the expression carry the emotion.",
        {"eac.weights.emotion": 0.0},
        _ALL_WORSE,
    ),
    Variant(
        "enc_onehot",
        "One-hot",
        "ame",
        "A space with language in it serves basic emotions at least as well as a table of classes.",
        {"ame.text.encoding": "onehot"},
        _ALL_WORSE,
    ),
    Variant(
        "enc_gpt2",
        "GPT2",
        "ame",
        "A text space that was learned with images expresses emotion better than one of text alone.",
        {"ame.text.encoding": "gpt2"},
        _ALL_WORSE,
    ),
    Variant(
        "eac_mlp",
        "MLPs",
        "eac",
        "Expression needs context in time: frame by frame it falls far behind.",
        {"eac.backbone.kind": "mlp"},
        _ALL_WORSE,
    ),
    Variant(
        "eac_gru",
        "GRUs",
        "eac",
        "Attention over the sequence serves better than recurrence.",
        {"eac.backbone.kind": "gru"},
        _ALL_WORSE,
    ),
    Variant(
        "hef_wo_res",
        "w/o res.",
        "hef",
        "Refining the flow scale by scale is better than predicting it whole at each scale.",
        {"hef.flow.residual": False},
        _ALL_WORSE,
    ),
    Variant(
        "hef_wo_hie",
        "w/o hie.",
        "hef",
        "Flow at 1/8 of the resolution is too coarse for mouth and eyes.",
        {"hef.flow.hierarchical": False},
        _ALL_WORSE,
    ),
    Variant(
        "ame_bag",
        "voice as a bag",
        "ame",
        "The order of a voice's frames carries some of its emotion.",
        {"ame.audio.positions": "none"},
    ),
    Variant(
        "data_exact",
        "exact coefficients",
        "eac",
        "Beyond the paper: exact coefficients leave less for a loss on images to add.",
        {"data.coefficients": "exact"},
        {"EFD": "better", "LMD": "better", "Sync": "better"},
    ),
    Variant(
        "eac_emo_render",
        "L_emo: render",
        "eac",
        "A loss on the render of measured coefficients cannot show what these miss; the photograph can.",
        {"eac.emotion_target": "render"},
        {"EFD": "worse"},
    ),
    Variant(
        "eac_pose",
        "head pose by EAC",
        "eac",
        "The head's motion can be found in speech and emotion, not only in a driving clip.",
        {"eac.pose": True},
    ),
    Variant(
        "hef_cosine",
        "cosine schedule",
        "hef",
        "Learning rates that fall to 0 end in a better point than constant ones.",
        {"hef.schedule": "cosine"},
    ),
    Variant(
        "hef_hinge",
        "hinge GAN",
        "hef",
        "The hinge loss serves as well as the logistic one.",
        {"hef.gan": "hinge"},
    ),
    Variant(
        "hef_temporal",
        "temporal loss",
        "hef",
        "Comparing the change between neighbouring frames steadies the video.",
        {"hef.weights.temporal": 5.0},
    ),
    Variant(
        "hef_parts",
        "mouth and eyes judged",
        "hef",
        "A discriminator of their own sharpens mouth and eyes.",
        {"hef.discriminator": "parts"},
    ),
    Variant(
        "hef_augmented",
        "augmented pairs",
        "hef",
        "Photograph-like changes of both images of a pair help HEF with images unlike the training set.",
        {"hef.augment.share": 0.5},
    ),
    Variant(
        "eac_sync",
        "lip-sync loss of EAC",
        "eac",
        "An expert that compares audio and rendered mouth finds errors that the distance of coefficients misses.",
        {"eac.weights.sync": 0.3},
        {"Sync": "better"},
    ),
    Variant(
        "hef_sync",
        "lip-sync loss of HEF",
        "hef",
        "An expert that compares audio and frames sharpens the mouth's timing.",
        {"hef.weights.sync": 0.3},
        {"Sync": "better"},
    ),
    Variant(
        "hef_voice",
        "voices' codes",
        "hef",
        "HEF trained with codes of voices draws them better than HEF trained with prompts and images alone.",
        {"hef.voice_codes": 0.2},
    ),
    Variant(
        "hef_slider",
        "slider's levels",
        "hef",
        "HEF that has seen codes moved by the level slider follows it.",
        {"hef.slider_share": 0.5},
    ),
    Variant(
        "hef_projected",
        "projected motion",
        "hef",
        "Beyond the paper: HEF that is given the 3DMM's projected flow need not find it in renders.",
        {"hef.motion": "projected"},
        {"EFD": "better", "LMD": "better", "Sync": "better"},
    ),
    Variant(
        "ours_a",
        "Ours-A",
        "evaluate",
        "The emotion is taken from the speech itself.",
        {"evaluate.modality": "audio"},
        {"EFD": "worse"},
    ),
    Variant(
        "ours_i",
        "Ours-I",
        "evaluate",
        "The emotion is taken from an image of the same style.",
        {"evaluate.modality": "image"},
        {"EFD": "worse"},
    ),
    Variant(
        "unseen",
        "Ours, unseen styles",
        "evaluate",
        "Compound and new styles that no training clip shows are expressed from their names.",
        {"evaluate.clips": "unseen"},
        {"EFD": "worse"},
    ),
    Variant(
        "unseen_gpt2",
        "GPT2, unseen styles",
        "ame",
        "Without images in its space, the encoding generalises less.",
        {"ame.text.encoding": "gpt2", "evaluate.clips": "unseen"},
        {"EFD": "worse"},
        builds_on=("unseen", "enc_gpt2"),
    ),
    Variant(
        "unseen_onehot",
        "One-hot, unseen styles",
        "ame",
        "A table of classes can mix known styles at best; what it cannot name it refuses.",
        {"ame.text.encoding": "onehot", "evaluate.clips": "unseen"},
        {"EFD": "worse"},
        builds_on=("unseen", "enc_onehot"),
    ),
)

BY_ID = {variant.id: variant for variant in VARIANTS}


def find_variant(name: str) -> Variant:
    """A registered variant by id, a user's own from a YAML file, or that of a row of a user's table, `FILE.yaml#ID`.

    UserError names the nearest.
    """
    file, _, row = name.partition("#")
    if file.endswith(YAML):
        return row_variant(Path(file), row) if row else load_variant(Path(file))
    if name not in BY_ID and (path := packaged_row(name)) is not None:
        return row_variant(path, name)
    if name not in BY_ID:
        raise UserError(f"variant {name!r} is unknown{nearest(name, BY_ID)}")
    return BY_ID[name]


def compose_variant(
    experiment: str,
    variant: str = FULL,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    target: str = "evaluate",
) -> Experiment:
    """Compose an experiment with the differences of a variant.

    `variant=` and `seed=` may also stand among the overrides, as a W&B agent writes them; given twice, they must agree.

    Args:
        experiment: name of an experiment, or a YAML file.
        variant: id of a variant, a YAML file, or a row of a table's file (`FILE.yaml#ID`).
        seed: seed of the run; None: the experiment's own.
        overrides: words such as `eac.steps=200`.
        target: stage to reach.

    Returns:
        The experiment, ready for `plan` and `execute`.

    Raises:
        UserError: a name, a key or a value is not valid.

    Examples:
        >>> compose_variant("toy", "eac_gru", seed=1).config.eac.backbone.kind
        'gru'
    """
    words = [word for word in overrides if not word.startswith("variant=")]
    named = {word.partition("=")[2] for word in overrides if word.startswith("variant=")} | (
        {variant} if variant != FULL else set()
    )
    if len(named) > 1:
        raise UserError(f"variant: given as {' and as '.join(sorted(named))}; one run has one variant")
    found = find_variant(next(iter(named), FULL))
    bases = [find_variant(name) for name in found.builds_on]
    builds_on = [(base.id, base.overrides) for base in bases if base.id != FULL]
    return compose(experiment, found.id, found.overrides, seed, words, target, builds_on)
