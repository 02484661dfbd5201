"""Tables as data: which rows they have, which variant each row is, and the values that the paper printed.

They are those of the paper, and a user's own from a YAML file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.registry import find_variant
from ablations.variants import FILES, YAML, beside, read_table, row_name
from conventions.errors import UserError, nearest
from experiments.graph import FULL
from experiments.values import as_number
from metrics.protocol import HIGHER_IS_BETTER

Values = Mapping[str, float]

OTHERS = "other methods"
"""The group of Table 1 that is not ours."""


@dataclass(frozen=True)
class PaperRow:
    """One row: its group, its title, the variant that reproduces it, and the paper's values by metric."""

    group: str
    title: str
    variant: str | None
    """None: another method, of which the paper's values are known, and ours where it was scored."""
    paper: Values = field(default_factory=dict)


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, or a user's own."""

    name: str
    title: str
    metrics: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    against: str = FULL
    """The variant that the others are compared with."""
    preset: str = "toy"
    """The experiment whose runs fill it, unless another is given."""
    seeds: tuple[int, ...] = (0,)
    """Its seeds, unless others are given."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that its rows need, each once."""
        return tuple(dict.fromkeys(row.variant for row in self.rows if row.variant is not None))


_T1 = ("EFD", "LMD", "Sync", "CSIM", "FID", "PSNR", "SSIM")
_T3 = ("EFD", "LMD", "Sync")


def _one(title: str, variant: str | None, *values: float) -> PaperRow:
    return PaperRow("Ours" if variant else OTHERS, title, variant, dict(zip(_T1, values, strict=True)))


def _three(group: str, title: str, variant: str, *values: float) -> PaperRow:
    return PaperRow(group, title, variant, dict(zip(_T3, values, strict=True)))


TABLE_1 = PaperTable(
    "1",
    "Comparison on MEAD, basic styles",
    _T1,
    (
        _one("Wav2Lip", None, 0.112, 2.59, 3.26, 0.82, 20.15, 29.22, 0.70),
        _one("PC-AVS", None, 0.110, 2.68, 3.12, 0.80, 29.55, 28.97, 0.68),
        _one("MEAD", None, 0.084, 2.62, 3.09, 0.81, 30.69, 28.48, 0.65),
        _one("EVP", None, 0.106, 2.54, 3.21, 0.70, 12.83, 29.67, 0.73),
        _one("EAMM", None, 0.092, 2.50, 3.26, 0.74, 29.01, 29.33, 0.75),
        _one("Ours-A", "ours_a", 0.069, 2.36, 3.50, 0.83, 15.91, 30.09, 0.85),
        _one("Ours-I", "ours_i", 0.071, 2.36, 3.53, 0.84, 15.89, 30.10, 0.87),
        _one("Ours-T", FULL, 0.065, 2.31, 3.57, 0.84, 15.90, 30.09, 0.88),
    ),
)

TABLE_3 = PaperTable(
    "3",
    "Ablation study on MEAD, basic styles, text as the condition",
    _T3,
    (
        _three("EAC loss", "w/o L_emo", "eac_wo_emo", 0.096, 2.40, 3.53),
        _three("EAC loss", "w/ L_emo", FULL, 0.065, 2.31, 3.57),
        _three("emotion encoding", "One-hot", "enc_onehot", 0.070, 2.33, 3.53),
        _three("emotion encoding", "GPT2", "enc_gpt2", 0.067, 2.33, 3.56),
        _three("emotion encoding", "CLIP", FULL, 0.065, 2.31, 3.57),
        _three("EAC backbone", "MLPs", "eac_mlp", 0.122, 3.54, 2.23),
        _three("EAC backbone", "GRUs", "eac_gru", 0.088, 2.47, 3.19),
        _three("EAC backbone", "Transformers", FULL, 0.065, 2.31, 3.57),
        _three("HEF flow", "w/o res.", "hef_wo_res", 0.082, 2.46, 3.21),
        _three("HEF flow", "w/o hie.", "hef_wo_hie", 0.076, 2.42, 3.25),
        _three("HEF flow", "Ours", FULL, 0.065, 2.31, 3.57),
    ),
)

TABLE_DEMO = PaperTable(
    "demo",
    "Table 3 in short: two of its comparisons",
    _T3,
    tuple(row for row in TABLE_3.rows if row.title in ("MLPs", "Transformers", "w/o hie.", "Ours")),
)

TABLE_UNSEEN = PaperTable(
    "unseen",
    "Compound and new styles, which no training clip shows; the paper shows images of three and no numbers",
    ("EFD", "LMD", "Sync", "CSIM"),
    (
        PaperRow("emotion encoding", "One-hot", "unseen_onehot"),
        PaperRow("emotion encoding", "GPT2", "unseen_gpt2"),
        PaperRow("emotion encoding", "CLIP", "unseen"),
    ),
    against="unseen",
)

TABLE_ENGINEERING = PaperTable(
    "engineering",
    "Switches of this implementation, which the paper does not have",
    ("EFD", "LMD", "Sync", "CSIM", "PSNR"),
    (
        PaperRow("the preset", "as it is", FULL),
        PaperRow("data", "exact coefficients", "data_exact"),
        PaperRow("voice", "frames without their order", "ame_bag"),
        PaperRow("target of L_emo", "the photograph (the preset)", FULL),
        PaperRow("target of L_emo", "the render of the measured face", "eac_emo_render"),
        PaperRow("target of L_emo", "none (w/o L_emo)", "eac_wo_emo"),
        PaperRow("EAC's output", "head pose too", "eac_pose"),
        PaperRow("HEF's input", "projected motion", "hef_projected"),
        PaperRow("HEF's training", "learning rates on a cosine", "hef_cosine"),
        PaperRow("HEF's training", "hinge loss", "hef_hinge"),
        PaperRow("HEF's training", "loss on neighbouring frames", "hef_temporal"),
        PaperRow("HEF's training", "mouth and eyes judged", "hef_parts"),
        PaperRow("HEF's training", "augmented pairs", "hef_augmented"),
        PaperRow("HEF's conditions", "voices' codes too", "hef_voice"),
        PaperRow("HEF's conditions", "levels moved by the slider too", "hef_slider"),
        PaperRow("lip-sync loss", "of EAC", "eac_sync"),
        PaperRow("lip-sync loss", "of HEF", "hef_sync"),
    ),
)

TABLES = {table.name: table for table in (TABLE_1, TABLE_3, TABLE_UNSEEN, TABLE_ENGINEERING, TABLE_DEMO)}


def tables_of(variant: str) -> tuple[str, ...]:
    """Names of the tables in which a variant stands."""
    return tuple(table.name for table in TABLES.values() if variant in table.variants and table.name != "demo")


METRICS = tuple(name for name, better in HIGHER_IS_BETTER.items() if better is not None)
"""What may be a column: metrics of which more or less is better."""


def find_table(name: str) -> PaperTable:
    """A table of the paper by name, or a user's from a YAML file; UserError names the nearest."""
    if name.endswith(YAML):
        return load_table(Path(name))
    if name in FILES:
        return load_table(FILES[name])
    if name not in TABLES:
        raise UserError(f"table {name!r} is unknown{nearest(name, (*TABLES, *FILES))}")
    return TABLES[name]


def load_table(path: Path) -> PaperTable:
    """A user's table: `groups` of rows and `metrics`; `title`, `preset`, `seeds` and `against` where wanted.

    `against` is the row that the others are compared with: `full` where it has a row, else the first row.
    """
    content = read_table(path)
    rows = tuple(_row(path, group, row) for group, rows in content["groups"].items() for row in rows)
    names = [row.variant for row in rows if row.variant is not None]
    labels = [row["id"] for rows in content["groups"].values() for row in rows if "id" in row]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise UserError(f"{path}: id: {min(twice)!r} is used by two rows")
    texts = {"preset": beside(path, str(content["preset"]))} if "preset" in content else {}
    title = str(content.get("title", path.stem))
    against = _against(path, content, names)
    return PaperTable(path.stem, title, _metrics(path, content), rows, against, **texts, seeds=_seeds(path, content))


def _row(path: Path, group: str, row: Mapping[str, Any]) -> PaperRow:
    name = row_name(path, row)
    title = str(row.get("title", find_variant(name).title))
    paper = row.get("paper", {})
    place = f"{path}: groups.{group}: {title}: paper"
    if not isinstance(paper, Mapping):
        raise UserError(f"{place}: expected a mapping of metrics to values")
    return PaperRow(str(group), title, name, {str(m): _number(f"{place}.{m}", value) for m, value in paper.items()})


def _number(place: str, value: Any) -> float:
    number = as_number(value)
    if number is None:
        raise UserError(f"{place}: {value!r} is not a number")
    return float(number)


def _metrics(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    metrics = content.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        raise UserError(f"{path}: metrics: expected a list of metrics, such as [EFD, LMD, Sync]")
    for metric in metrics:
        if metric not in METRICS:
            raise UserError(f"{path}: metrics: {str(metric)!r} is unknown{nearest(str(metric), METRICS)}")
    return tuple(str(metric) for metric in metrics)


def _seeds(path: Path, content: Mapping[str, Any]) -> tuple[int, ...]:
    given = content.get("seeds", [0])
    seeds = [as_number(one) for one in given] if isinstance(given, list) else []
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise UserError(f"{path}: seeds: expected a list of whole numbers, such as [0, 1, 2]")
    return tuple(int(seed) for seed in seeds if seed is not None)


def _against(path: Path, content: Mapping[str, Any], names: list[str]) -> str:
    if "against" not in content:
        return FULL if FULL in names else names[0]
    given = str(content["against"])
    by_label = {name.partition("#")[2] or Path(name).name: name for name in names} | {name: name for name in names}
    if given not in by_label:
        raise UserError(f"{path}: against: {given!r} is not a row{nearest(given, by_label)}")
    return by_label[given]
