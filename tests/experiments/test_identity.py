import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.graph import compose, plan
from experiments.identity import RunName, canonical, hash_of, run_id, stage_hash, written

STORE = "5" * 64


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    workers: int = field(default=2, metadata={"numbers": False})


@dataclass(frozen=True)
class Outer:
    steps: int = 3
    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = ("a",)


def test_golden_hashes() -> None:
    assert hash_of(Outer()) == "9a000865bde58b28ddb099377d2168126b910df681e199802d4093846a181e93"
    assert (
        stage_hash("eac", {"eac": Outer()}, {"ame": "0" * 64}, STORE, 0)
        == "1d113559dae8c18dfb9817511975a22344747da45e78044b0d2a4294f68d5164"
    )


def test_a_late_field_counts_only_where_it_is_set() -> None:
    @dataclass(frozen=True)
    class Late(Inner):
        head: str = field(default="old", metadata={"numbers": "unless default"})

    assert hash_of(Late()) == hash_of(Inner())
    assert hash_of(Late(head="new")) != hash_of(Inner())


def test_canonical_form_leaves_out_what_changes_no_numbers() -> None:
    assert canonical(Outer()) == {"inner": {"rate": 0.1}, "names": ["a"], "steps": 3}
    assert hash_of(Inner(workers=9)) == hash_of(Inner())
    assert hash_of(Inner(rate=0.2)) != hash_of(Inner())


def test_whole_floats_and_key_order_agree_but_flags_are_no_numbers() -> None:
    assert hash_of({"a": 1, "b": 2.0}) == hash_of({"b": 2, "a": 1.0})
    assert hash_of({"a": True}) != hash_of({"a": 1})
    assert hash_of(Path("a/b")) == hash_of("a/b")


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_hash_ignores_order(values: dict[str, float]) -> None:
    assert hash_of(values) == hash_of(dict(reversed(values.items())))


def test_text_written_beforehand_is_hashed_as_the_value_itself() -> None:
    value = {"b": [1.0, "é"], "a": Outer(steps=4), "c": {"x": None, "1": True}}
    assert hash_of({"all": written(value), "seed": 1}) == hash_of({"all": value, "seed": 1})
    plain = json.dumps(canonical({"all": value}), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hash_of({"all": value}) == hashlib.sha256(plain.encode()).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_without_a_place_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no place"):
        hash_of({"a": value})


def test_run_id_comes_apart_again() -> None:
    run = run_id("my-toy", "eac", "eac_mlp", 3, "1f2e3d4c5b")
    assert run == "my-toy-eac.eac_mlp.s3.1f2e3d4c"
    assert RunName.parse(run) == RunName("my-toy", "eac", "eac_mlp", 3, "1f2e3d4c")
    assert RunName.parse("wandb") is None


def hashes(*overrides: str, **differences: object) -> dict[str, str]:
    runs = plan(compose("toy", "v", differences, overrides=overrides), STORE)
    return {run.stage: run.hash for run in runs}


def test_parents_come_first_and_each_run_once() -> None:
    runs = plan(compose("toy"), STORE)
    stages = [run.stage for run in runs]
    assert sorted(stages) == ["ame", "clip", "critics", "eac", "evaluate", "hef", "judges", "references"]
    for index, run in enumerate(runs):
        assert {parent.id for parent in run.parents.values()} <= {earlier.id for earlier in runs[:index]}


def test_a_change_reaches_exactly_the_stages_below_it() -> None:
    before, after = hashes(), hashes("eac.steps=7")
    assert {stage for stage in before if before[stage] != after[stage]} == {"eac", "evaluate"}
    before, after = hashes(), hashes("seed=4")
    assert {stage for stage in before if before[stage] != after[stage]} == {"ame", "eac", "hef", "evaluate"}


def test_several_processes_are_another_run_but_the_stand_ins_stay() -> None:
    before, after = hashes(), hashes("trainer.devices=2")
    assert {stage for stage in before if before[stage] != after[stage]} == {"ame", "eac", "hef", "evaluate"}


def test_what_changes_no_numbers_changes_no_identity() -> None:
    assert hashes() == hashes(
        "trainer.log_every=3", "tracking.mode=disabled", "data.store=elsewhere", "evaluate.samples=9"
    )


def test_another_store_is_another_run() -> None:
    one, other = plan(compose("toy"), STORE), plan(compose("toy"), "6" * 64)
    shared = {run.stage for run in one} - {run.stage for run in one if run.hash not in {o.hash for o in other}}
    assert shared == {"clip", "critics"}, "only what the toy world's pictures alone train"


def test_only_stages_that_a_variant_touches_carry_its_name() -> None:
    experiment = compose("toy", "short", {"eac.steps": 7})
    names = {run.stage: run.variant for run in plan(experiment, STORE)}
    assert {stage for stage, variant in names.items() if variant == "short"} == {"eac", "evaluate"}
    full = {run.id for run in plan(compose("toy"), STORE)}
    assert {run.id for run in plan(experiment, STORE) if run.variant == "full"} <= full


def test_the_encoding_chooses_the_stand_ins_of_ame() -> None:
    runs = plan(compose("toy", overrides=["ame.text.encoding=gpt2"]), STORE)
    assert set(next(run for run in runs if run.stage == "ame").parents) == {"clip", "gpt2"}
    public = ["ame.text.clip_model=ViT-B-32", "ame.text.clip_weights=openai"]
    assert "clip" not in {run.stage for run in plan(compose("toy", overrides=public), STORE)}


def test_a_target_stops_the_plan_early() -> None:
    assert [run.stage for run in plan(compose("toy", target="clip"), STORE)] == ["clip"]


def test_the_plan_is_the_same_twice() -> None:
    assert plan(compose("toy"), STORE) == plan(compose("toy"), STORE)
    assert dataclasses.is_dataclass(plan(compose("toy"), STORE)[0])


def test_the_encoding_ablation_changes_eac_alone() -> None:
    full = {run.stage: run.hash for run in plan(compose("toy"), "store")}
    runs = plan(compose("toy", "enc_gpt2", {"ame.text.encoding": "gpt2"}), "store")
    hashes = {(run.stage, run.variant): run.hash for run in runs}
    assert hashes["hef", "full"] == full["hef"]
    assert hashes["ame", "full"] == full["ame"]
    assert hashes["ame", "enc_gpt2"] != full["ame"]
    assert hashes["eac", "enc_gpt2"] != full["eac"]
