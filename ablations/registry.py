"""Variants by name: those of the paper's tables (`variants.yaml`), and a user's own from a YAML file."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from ablations.variants import YAML, Variant, load_variant, packaged_row, read_variant, row_variant
from conventions.errors import UserError, nearest
from experiments.graph import FULL, Experiment, compose

FILE = Path(__file__).with_name("variants.yaml")

VARIANTS = (
    Variant(
        FULL,
        "Ours (full model)",
        "evaluate",
        "Text-conditioned, Transformer EAC with L_emo, hierarchical residual HEF: every full row of Tables 1 and 3.",
    ),
    *(
        read_variant(f"{FILE}: {entry['id']}", entry, FILE)
        for entry in yaml.safe_load(FILE.read_text(encoding="utf-8"))
    ),
)
"""The full model and every variant of the paper's tables, read as a user's own. A new one is one entry of `FILE`."""

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
