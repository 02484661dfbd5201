import dataclasses
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conventions.errors import UserError
from experiments.graph import STAGES, compose, plan
from experiments.identity import canonical, digest_of, hash_of, run_id
from experiments.stage import StageRun


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    workers: int = field(default=2, metadata={"numbers": False})


@dataclass(frozen=True)
class Outer:
    steps: int = 3
    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = ("a",)


def test_golden_hash() -> None:
    assert hash_of(Outer()) == "9a000865bde58b28ddb099377d2168126b910df681e199802d4093846a181e93"


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_without_a_place_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        hash_of({"a": value})


def test_the_digest_of_a_file_or_folder_is_of_its_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"abc")
    assert digest_of(tmp_path / "one", "k") == digest_of(tmp_path / "two", "k")
    before = digest_of(tmp_path / "one", "k")
    (tmp_path / "one" / "weights").write_bytes(b"abd!")
    assert digest_of(tmp_path / "one", "k") != before
    with pytest.raises(UserError, match=r"face_model: .*absent"):
        digest_of(tmp_path / "absent", "face_model")


HASH = "5" * 64


def planned(*overrides: str, experiment: str = "toy", store: str = HASH, **differences: object) -> dict[str, StageRun]:
    """Runs by stage; the store is not read."""
    runs = plan(compose(experiment, "v", differences, overrides=overrides), lambda path: store)
    return {run.stage: run for run in runs}


def hashes(*overrides: str, **differences: object) -> dict[str, str]:
    return {stage: run.hash for stage, run in planned(*overrides, **differences).items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {stage for stage in before if before[stage] != after[stage]}


def test_parents_come_first_and_each_run_once() -> None:
    runs = list(planned().values())
    stages = [run.stage for run in runs]
    assert sorted(stages) == ["ame", "clip", "critics", "eac", "evaluate", "hef", "judges", "references"]
    for index, run in enumerate(runs):
        assert {parent.id for parent in run.parents.values()} <= {earlier.id for earlier in runs[:index]}


def test_a_change_reaches_exactly_the_stages_below_it() -> None:
    assert changed(hashes(), hashes("eac.steps=7")) == {"eac", "evaluate"}
    assert changed(hashes(), hashes("seed=4")) == {"ame", "eac", "hef", "evaluate"}


def test_several_processes_are_another_run_but_the_stand_ins_stay() -> None:
    for words in (["trainer.devices=2"], ["trainer.num_nodes=2"], ["trainer.strategy=ddp"]):
        assert changed(hashes(), hashes(*words)) == {"ame", "eac", "hef", "evaluate"}


def test_what_changes_no_numbers_changes_no_identity() -> None:
    words = ["trainer.log_every=3", "trainer.val_every=7", "tracking.mode=disabled", "data.store=elsewhere"]
    assert hashes() == hashes(*words, "evaluate.samples=9", "world.root=elsewhere", "name=other")


def test_another_store_is_another_run() -> None:
    one, other = planned(), planned(store="6" * 64)
    shared = {stage for stage in one if one[stage].hash == other[stage].hash}
    assert shared == {"clip", "critics"}, "only what the toy world's pictures alone train"


def test_the_content_of_a_split_counts_and_its_name_and_place_do_not(tmp_path: Path) -> None:
    text = Path("datamodules/splits/toy.yaml").read_text()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.yaml").write_text(text.replace("name: toy", f"name: {name}"))
    same = [hashes(f"data.split={tmp_path / name / 'mine.yaml'}") for name in ("one", "two")]
    assert same[0] == same[1] == hashes()
    (tmp_path / "two" / "mine.yaml").write_text(text.replace("train: [M001, ", "train: ["))
    assert changed(hashes(), hashes(f"data.split={tmp_path / 'two' / 'mine.yaml'}")) >= {"ame", "eac", "hef", "judges"}


def test_coefficients_of_one_stage_leave_the_others_as_they_are() -> None:
    before = hashes()
    assert changed(before, hashes("eac.data.coefficients=exact")) == {"eac", "evaluate"}
    assert changed(before, hashes("hef.data.coefficients=exact")) == {"hef", "evaluate"}
    assert not changed(before, hashes("eac.data.coefficients=measured", "hef.data.coefficients=measured"))


def test_the_content_of_the_prompts_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashes()
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("templates: []\n")
    for module in ("ame", "base", "evaluate"):
        monkeypatch.setattr(f"experiments.stages.{module}.PROMPTS", prompts)
    assert changed(before, hashes()) == {"ame", "eac", "hef", "evaluate"}


WEIGHTS = {
    "ame.text.gpt2_model": {"ame", "eac", "hef", "evaluate"},
    "losses.networks.perceptual": {"hef", "evaluate"},
    "face_model": {"eac", "hef", "evaluate"},
}


@pytest.mark.parametrize("key", WEIGHTS)
def test_the_content_of_weights_counts_and_their_path_does_not(tmp_path: Path, key: str) -> None:
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / f"{name}.pth").write_bytes(content)
    a, b, c = (hashes(f"{key}={tmp_path / name}.pth") for name in "abc")
    assert changed(a, c) == WEIGHTS[key]
    assert a == b


def test_the_version_of_a_stage_and_the_protocol_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashes()
    monkeypatch.setattr("metrics.protocol.PROTOCOL", "emospace-metrics-v99")
    assert changed(before, hashes()) == {"references", "evaluate"}
    monkeypatch.undo()
    monkeypatch.setattr(type(STAGES["eac"]), "version", 99)
    assert changed(before, hashes()) == {"eac", "evaluate"}


def test_two_experiments_share_every_stage_that_they_both_need(tmp_path: Path) -> None:
    for name, steps in (("one", 7), ("two", 8)):
        (tmp_path / f"{name}.yaml").write_text(f"base: toy\neac: {{steps: {steps}}}\n")
    one, two = (planned(experiment=str(tmp_path / f"{name}.yaml")) for name in ("one", "two"))
    different = {stage for stage in one if one[stage].id != two[stage].id}
    assert different == {"eac", "evaluate"}
    assert one["clip"].id == planned()["clip"].id == run_id("clip", 0, one["clip"].hash)


def test_only_stages_that_a_variant_touches_carry_its_name() -> None:
    runs = planned(**{"eac.steps": 7})
    assert {stage for stage, run in runs.items() if run.variant == "v"} == {"eac", "evaluate"}
    full = {run.id for run in planned().values()}
    assert {run.id for run in runs.values() if run.variant == "full"} <= full


def test_a_variant_that_changes_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="variant 'v': changes nothing"):
        compose("toy", "v", {"eac.backbone.kind": "transformer"})


def test_a_run_shows_the_fields_that_it_or_its_parents_read() -> None:
    runs = planned("eac.learning_rate=0.002", "seed=3")
    assert runs["ame"].fields == {}
    assert runs["eac"].fields == runs["evaluate"].fields == {"eac.learning_rate": "0.002"}
    assert runs["eac"].title == "eac full s3 eac.learning_rate=0.002"


def test_the_encoding_chooses_the_stand_ins_of_ame() -> None:
    assert set(planned("ame.text.encoding=gpt2")["eac"].parents["ame"].parents) == {"clip", "gpt2"}
    public = ["ame.text.clip_model=ViT-B-32", "ame.text.clip_weights=openai"]
    assert "clip" not in planned(*public)


def test_a_target_stops_the_plan_early() -> None:
    assert [run.stage for run in plan(compose("toy", target="clip"), lambda path: HASH)] == ["clip"]


def test_the_plan_is_the_same_twice() -> None:
    first, second = planned(), planned()
    assert first == second
    assert dataclasses.is_dataclass(first["eac"])


def test_the_encoding_ablation_changes_eac_alone() -> None:
    full = hashes()
    runs = plan(compose("toy", "enc_gpt2", {"ame.text.encoding": "gpt2"}), lambda path: HASH)
    found = {(run.stage, run.variant): run.hash for run in runs}
    assert found["hef", "full"] == full["hef"]
    assert found["ame", "full"] == full["ame"]
    assert found["ame", "enc_gpt2"] != full["ame"]
    assert found["eac", "enc_gpt2"] != full["eac"]


def test_planning_loads_no_torch(make_store: Callable[..., Path]) -> None:
    """A sweep plans thousands of runs before it starts one."""
    code = (
        "import sys; from experiments.graph import compose, plan\n"
        f"plan(compose('toy', overrides=['data.store={make_store()}']))\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Later(Outer):
    switch: float = field(default=0.0, metadata={"numbers": "if changed"})


def test_a_switch_that_came_later_counts_where_it_is_used() -> None:
    assert hash_of(Later()) == hash_of(Outer())
    assert hash_of(Later(switch=0.5)) != hash_of(Outer())
    assert canonical(Later(switch=0.5))["switch"] == 0.5


@pytest.mark.parametrize("word", ["hef.voice_codes=0.1", "hef.slider_share=0.5"])
def test_conditions_of_hef_reach_hef_alone(word: str) -> None:
    assert changed(hashes(), hashes(word)) == {"hef", "evaluate"}


def test_the_lip_sync_expert_is_a_run_of_its_own_that_eac_and_hef_share() -> None:
    full = hashes()
    assert "lip_sync" not in full
    both = planned("eac.weights.sync=0.3", "hef.weights.sync=0.3")
    assert both["eac"].parents["lip_sync"] == both["hef"].parents["lip_sync"] == both["lip_sync"]
    assert changed(full, {stage: run.hash for stage, run in both.items()}) == {"eac", "hef", "evaluate"}
    one = hashes("eac.weights.sync=0.3")
    assert changed(full, one) == {"eac", "evaluate"}
    assert one["lip_sync"] == both["lip_sync"].hash == hashes("eac.weights.sync=0.3", "seed=4")["lip_sync"]
    assert changed(one, hashes("eac.weights.sync=0.3", "losses.lip_sync.steps=9")) == {"lip_sync", "eac", "evaluate"}


def test_a_published_expert_needs_no_run(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two")):
        (tmp_path / f"{name}.model").write_bytes(content)
    words = ["hef.weights.sync=0.3", f"losses.networks.sync={tmp_path / 'a.model'}"]
    runs = planned(*words)
    assert "lip_sync" not in runs
    assert changed(hashes(*words), hashes(words[0], words[1].replace("a.model", "b.model"))) == {"hef", "evaluate"}


def test_the_network_of_sync_cannot_be_the_expert() -> None:
    words = ["evaluate.networks.sync=syncnet", "losses.networks.sync=syncnet"]
    with pytest.raises(UserError, match=r"losses\.networks: sync: syncnet is also the metric's sync network"):
        compose("toy", overrides=words)
    assert compose("mead").config.losses.networks.choice()["sync"] == "standin", "`all: published` leaves it alone"
