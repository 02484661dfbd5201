from pathlib import Path

import pytest

from ablations.paper import TABLES, tables_of
from ablations.registry import VARIANTS, compose_variant, find_variant
from conventions.errors import UserError
from experiments.compose import dotted_keys
from experiments.graph import FULL, plan
from experiments.identity import canonical
from experiments.schema import ExperimentConfig
from metrics.protocol import HIGHER_IS_BETTER

STORE = "5" * 64
IDS = [variant.id for variant in VARIANTS]
PART_OF_PRESET = {("demo", "hef_projected")}
OTHERS = [variant for variant in VARIANTS if variant.id != FULL]


def test_ids_are_unique() -> None:
    assert len(IDS) == len(set(IDS))


@pytest.mark.parametrize("variant", OTHERS, ids=lambda v: v.id)
def test_every_variant_changes_what_it_names_and_nothing_before_its_stage(variant) -> None:
    experiment = compose_variant("toy", variant.id)
    assert canonical(experiment.config) != canonical(experiment.lineage[0][1])
    assert set(variant.overrides) <= set(dotted_keys(ExperimentConfig))
    runs = plan(experiment, lambda path: STORE)
    assert runs[-1].variant == variant.id
    assert variant.stage in {run.stage for run in runs if run.variant != FULL}
    full = {run.id for run in plan(compose_variant("toy"), lambda path: STORE)}
    assert {run.id for run in runs if run.variant == FULL} <= full
    assert "judges" in {run.stage for run in runs if run.id in full}, "one protocol for all variants"


@pytest.mark.parametrize("preset", ["toy", "demo", "mead"])
def test_every_variant_has_its_own_hash_in_every_preset(preset: str) -> None:
    words = ["data.store=store", "evaluate.max_clips=3"]
    ids = [name for name in IDS if (preset, name) not in PART_OF_PRESET]
    targets = [plan(compose_variant(preset, name, overrides=words), lambda path: STORE)[-1] for name in ids]
    assert len({target.hash for target in targets}) == len(ids)
    assert all(target.id.startswith("evaluate.") for target in targets)


def test_variants_share_every_stage_that_they_can() -> None:
    """The same hash never has two names, so that nothing is trained twice."""
    names: dict[str, str] = {}
    for variant in VARIANTS:
        for run in plan(compose_variant("toy", variant.id), lambda path: STORE):
            assert names.setdefault(run.hash, run.id) == run.id


def test_expectations_agree_with_the_papers_numbers() -> None:
    for table in TABLES.values():
        full = next(row for row in table.rows if row.variant == table.against)
        for row in table.rows:
            if row.variant in (None, table.against):
                continue
            for metric, word in find_variant(row.variant).expected.items():
                if metric in row.paper and word == "worse":
                    better_is_higher = bool(HIGHER_IS_BETTER[metric])
                    assert (row.paper[metric] < full.paper[metric]) == better_is_higher, (row.title, metric)


def test_tables_name_known_variants_and_metrics() -> None:
    for table in TABLES.values():
        assert set(table.variants) <= set(IDS)
        assert set(table.metrics) <= HIGHER_IS_BETTER.keys()
        assert table.against in table.variants
    assert {"3"} == set(tables_of("eac_mlp"))


def test_every_variant_but_none_stands_in_a_table() -> None:
    assert [name for name in IDS if not tables_of(name)] == []


def test_an_agents_words_and_the_flags_mean_the_same() -> None:
    words = compose_variant("toy", overrides=["variant=eac_gru", "seed=2", "eac.steps=9"])
    flags = compose_variant("toy", "eac_gru", 2, ["eac.steps=9"])
    assert words == flags
    assert words.config.eac.backbone.kind == "gru"
    with pytest.raises(UserError, match="one run has one variant"):
        compose_variant("toy", "eac_gru", overrides=["variant=eac_mlp"])


def test_an_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'eac_mlp'"):
        find_variant("eac_mpl")


def test_a_users_variant_is_a_file_of_a_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "small_steps.yaml"
    path.write_text("overrides:\n  eac.learning_rate: 0.0005\n")
    experiment = compose_variant("toy", str(path))
    assert (experiment.variant, experiment.config.eac.learning_rate) == ("small_steps", 0.0005)
    assert find_variant(str(path)).stage == "eac"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("overides: {}", "did you mean 'overrides'"),
        ("overrides: []", "expected a mapping"),
        ("id: full\noverrides: {eac.steps: 3}", "not 'full'"),
        ("id: a b\noverrides: {eac.steps: 3}", "is not a valid id"),
        ("stage: eacc\noverrides: {eac.steps: 3}", "did you mean 'eac'"),
        ("expected: {EFD: wose}\noverrides: {eac.steps: 3}", "did you mean 'worse'"),
    ],
)
def test_a_users_mistakes_are_one_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=part) as error:
        find_variant(str(path))
    assert "\n" not in str(error.value)
