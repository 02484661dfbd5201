"""A user's own table: a new variant and a new row by YAML alone."""

import json
from pathlib import Path

import pytest

from ablations import formats
from ablations.paper import TABLES, find_table
from ablations.registry import compose_variant, find_variant
from ablations.tables import ask, build_table
from conventions.errors import UserError
from experiments.graph import FULL, plan

TABLE = """
title: Memory of EAC
preset: demo
seeds: [3, 4]
metrics: [EFD, CSIM]
groups:
  backbone: [full, {variant: eac_mlp, title: frame by frame, paper: {EFD: 0.122}}]
  memory:
    - short.yaml
    - {id: gpt2_short, title: GPT2 and 5 frames, overrides: {ame.text.encoding: gpt2, eac.backbone.past: 5},
       builds_on: [enc_gpt2]}
"""
SHORT = "title: 5 frames\noverrides: {eac.backbone.past: 5}\nbuilds_on: [eac_gru]\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table's file, beside the file of a variant."""
    monkeypatch.setattr("experiments.graph.store_hash", lambda path: "5" * 64)
    (tmp_path / "short.yaml").write_text(SHORT)
    (tmp_path / "mine.yaml").write_text(TABLE)
    return tmp_path / "mine.yaml"


def test_rows_are_registered_variants_files_and_rows_own_overrides(path: Path) -> None:
    table = find_table(str(path))
    beside = path.parent / "short.yaml"
    assert [row.variant for row in table.rows] == [FULL, "eac_mlp", str(beside), f"{path}#gpt2_short"]
    assert [row.title for row in table.rows][1:] == ["frame by frame", "5 frames", "GPT2 and 5 frames"]
    assert (table.name, table.preset, table.seeds, table.metrics) == ("mine", "demo", (3, 4), ("EFD", "CSIM"))
    assert table.rows[1].paper == {"EFD": 0.122}


def test_its_jobs_are_what_the_table_then_reads(path: Path, tmp_path: Path) -> None:
    asked = ask(str(path))
    jobs = {job.words for job in asked.jobs()}
    assert len(jobs) == 4 * 2
    assert ("demo", f"variant={path}#gpt2_short", "seed=3") in jobs
    for variant, by_seed in asked.planned().items():
        for seed, run in by_seed.items():
            experiment = compose_variant("demo", overrides=[f"variant={variant}", f"seed={seed}"])
            assert plan(experiment)[-1].id == run.id
    table = build_table(str(path), tmp_path / "runs")
    assert json.loads(json.dumps(formats.json_document(table)))["seeds"] == [3, 4]
    assert "missing (0/2)" in formats.markdown(table)
    assert (ask(str(path), "toy", [7]).preset, ask(str(path), "toy", [7]).seeds) == ("toy", (7,))


def test_a_variant_shares_the_stages_of_what_it_builds_on(path: Path) -> None:
    def ame(variant: str) -> str:
        return next(run.variant for run in plan(compose_variant("demo", variant)) if run.stage == "ame")

    assert ame(f"{path}#gpt2_short") == "enc_gpt2"
    assert find_variant(str(path.parent / "short.yaml")).builds_on == ("eac_gru",)


def test_a_table_of_the_paper_is_found_by_its_name() -> None:
    assert find_table("3") is TABLES["3"]
    with pytest.raises(UserError, match="unseen"):
        find_table("4")


def test_the_rows_are_compared_with_the_named_one(path: Path) -> None:
    path.write_text(TABLE.replace("full, {", "eac_gru, {").replace("seeds:", "against: gpt2_short\nseeds:"))
    assert find_table(str(path)).against == f"{path}#gpt2_short"
    path.write_text(TABLE.replace("full, {", "eac_gru, {"))
    assert find_table(str(path)).against == "eac_gru", "the first row where the full model has none"


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("metrics: [EFD", "metrics: [EDF", "did you mean 'EFD'"),
        ("metrics: [EFD, CSIM]", "metrics: []", "expected a list of metrics"),
        ("groups:", "grups:", "did you mean 'groups'"),
        ("seeds: [3, 4]", "seeds: [a]", "whole numbers"),
        ("[full, {", "full\n  b: [full, {", "lists of rows"),
        ("{variant: eac_mlp", "{variant: eac_mpl", "did you mean 'eac_mlp'"),
        ("title: frame by frame", "overrides: {eac.steps: 3}", "exactly one of variant and overrides"),
        ("title: frame by frame", "claim: none", "is not allowed beside variant"),
        ("id: gpt2_short, ", "", "needs one"),
        ("- short.yaml", "- {id: gpt2_short, overrides: {eac.steps: 3}}", "is used by two rows"),
        ("- short.yaml", "- long.yaml", "no such file"),
        ("paper: {EFD: 0.122}", "paper: {EFD: x}", "is not a number"),
        ("builds_on: [enc_gpt2]", "builds_on: enc_gpt2", "expected a list of variants"),
        ("seeds:", "against: fulll\nseeds:", "did you mean 'full'"),
    ],
)
def test_mistakes_are_one_line_that_names_the_file(path: Path, old: str, new: str, part: str) -> None:
    assert old in TABLE
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(UserError, match=part) as error:
        find_table(str(path))
    assert "\n" not in str(error.value)
    assert str(path.parent) in str(error.value) or "variant" in str(error.value)


def test_a_row_that_changes_nothing_is_refused(path: Path) -> None:
    path.write_text(TABLE.replace("{ame.text.encoding: gpt2, eac.backbone.past: 5}", "{ame.text.encoding: clip}"))
    with pytest.raises(UserError, match="changes nothing"):
        ask(str(path)).planned()


def test_a_row_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'gpt2_short'"):
        find_variant(f"{path}#gpt2_shrt")


def test_the_table_of_speech_features_comes_with_the_package() -> None:
    table = find_table("speech")
    titles = {row.title: row.variant for row in table.rows}
    assert titles["MFCC windows"] == "full"
    assert titles.keys() == {"MFCC windows", "log-mel", "Whisper tiny", "HuBERT"}
    found = find_variant("speech_whisper")
    assert found.overrides == {"data.speech": "hf:whisper-tiny.en-encoder"}
    assert compose_variant("toy", "speech_mel").config.data.speech == "mel"
    with pytest.raises(UserError, match="table 'speach' is unknown; did you mean 'speech'"):
        find_table("speach")
