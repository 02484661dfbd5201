"""Which runs a table shows: paired by seed, finite, scored, and of one identity."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from run_folders import BASE, CLIPS, finish

from ablations import formats
from ablations.found import plan_runs
from ablations.tables import build_table
from conventions.errors import UserError
from experiments.graph import compose, plan
from experiments.readback import read_run
from experiments.run_content import write_csv
from experiments.rundir import RunFolder
from experiments.stage import StageRun

SEEDS = (0, 1, 2)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.graph.store_hash", lambda path: "5" * 64)


def planned(variant: str) -> dict[int, StageRun]:
    return plan_runs([variant], "toy", SEEDS)[variant]


def row(runs: Path, title: str, **options) -> dict:
    rows = formats.json_document(build_table("demo", runs, **{"preset": "toy", "seeds": SEEDS, **options}))["rows"]
    return next(one for one in rows if one["title"] == title)


def test_a_difference_is_that_of_the_seeds_that_both_have(tmp_path: Path) -> None:
    """The seeds differ by far more than the variants: an unpaired mean would be off by whole units."""
    full, other = planned("full"), planned("eac_mlp")
    for seed in SEEDS[:-1]:
        finish(full[seed], tmp_path, 10.0 * seed)
    for seed in SEEDS[1:]:
        finish(other[seed], tmp_path, 10.0 * seed + 0.25)
    found = row(tmp_path, "MLPs")
    [direction] = [one for one in found["directions"] if one["metric"] == "EFD"]
    assert (direction["seeds"], found["metrics"]["EFD"]["n"]) == (1, 2)
    assert direction["difference"] == pytest.approx(0.25)
    assert found["metrics"]["EFD"]["mean"] == pytest.approx(BASE["EFD"] + 15.25, abs=0.01)


def test_without_a_common_seed_there_is_no_difference(tmp_path: Path) -> None:
    finish(planned("full")[0], tmp_path, 0.0)
    finish(planned("eac_mlp")[1], tmp_path, 5.0)
    assert [one["difference"] for one in row(tmp_path, "MLPs")["directions"]] == [None] * 3


def test_a_run_on_networks_that_hold_nan_is_missing(tmp_path: Path) -> None:
    run = planned("full")[0]
    finish(run, tmp_path, 0.0)
    assert row(tmp_path, "Transformers")["metrics"]["EFD"]["n"] == 1
    folder, hef = run.folder(tmp_path), run.parents["hef"]
    folder.write("provenance.json", {**folder.read("provenance.json"), "parents": {"hef": hef.id}})
    place = hef.folder(tmp_path).checkpoints
    place.mkdir(parents=True)
    torch.save({"state_dict": {"flow": torch.tensor([1.0, float("nan")])}}, place / "final.pt")
    table = build_table("demo", tmp_path, "toy", [0])
    assert all(value.n == 0 for one in table.rows for value in one.values.values())
    [line] = [line for line in table.missing if line.startswith(run.id)]
    assert f"damaged ({hef.id}: weight 'flow' is not finite" in line


@pytest.mark.parametrize("flaw", ["metrics", "hash", "required"])
def test_a_damaged_run_is_missing(tmp_path: Path, flaw: str) -> None:
    run = planned("full")[0]
    finish(run, tmp_path, 0.0)
    folder = run.folder(tmp_path)
    document = folder.read("metrics.json")
    changed = {"metrics": {**document["metrics"], "EFD": None}, "hash": "0" * 64, "required": ["EFD", "FVD"]}
    folder.write("metrics.json", {**document, flaw: changed[flaw]})
    table = build_table("demo", tmp_path, "toy", [0])
    assert all(value.n == 0 for one in table.rows for value in one.values.values())
    assert any(line.startswith(f"{run.id}: damaged") for line in table.missing)


def test_a_run_without_scores_is_missing_with_its_reason(tmp_path: Path) -> None:
    run = planned("full")[0]
    folder = run.folder(tmp_path)
    folder.write("metrics.json", {"hash": run.hash, "required": [], "metrics": {}, "skipped": "no test actors"})
    folder.set_status("done", hash=run.hash)
    table = build_table("demo", tmp_path, "toy", [0])
    assert f"{run.id}: not scored (no test actors)" in table.missing


NEW_SECTIONS = ("losses", "init_from")
NEW_KEYS = {"evaluate": ["networks"], "trainer": ["num_nodes", "strategy", "gradient_clip", "callbacks", "val_every"]}


def old_config(run: StageRun) -> str:
    """The run's configuration as the first identity wrote it."""
    tree = yaml.safe_load(OmegaConf.to_yaml(OmegaConf.structured(run.config)))
    for name in NEW_SECTIONS:
        del tree[name]
    for section, names in NEW_KEYS.items():
        for name in names:
            del tree[section][name]
    tree["world"]["head"] = "procedural"
    return yaml.safe_dump(tree)


def old_id(run: StageRun) -> str:
    return f"toy-{run.stage}.{run.variant}.s{run.seed}.1a2b3c4d"


def write_old(run: StageRun, runs: Path, value: float) -> RunFolder:
    """The folder of the first identity of a run and, if absent, those of its parents."""
    folder = RunFolder(runs / old_id(run))
    if folder.path.exists():
        return folder
    parents = {role: write_old(parent, runs, value).id for role, parent in run.parents.items()}
    metrics = {name: base + value for name, base in BASE.items()}
    if run.stage == "references":
        metrics = {f"ground_truth/{name}": number for name, number in metrics.items()}
    facts = {"hash": "1a2b3c4d" * 8, "stage": run.stage, "required": list(metrics), "metrics": metrics}
    folder.write("metrics.json", {**facts, "undefined": [], "protocol": "emospace-metrics-v1", "stand_ins": ["EFD"]})
    folder.write_text("config.yaml", old_config(run))
    folder.write("provenance.json", {"parents": parents, "git": {"commit": "abc"}, "store": {"hash": "5" * 64}})
    labels = {"stage": run.stage, "variant": run.variant, "seed": run.seed}
    folder.set_status("done", hash="1a2b3c4d" * 8, **labels)
    if run.stage == "evaluate":
        noise = np.random.default_rng(run.seed)
        rows = [
            {"id": clip, "actor": "M1", **{m: v + float(noise.normal()) for m, v in metrics.items()}} for clip in CLIPS
        ]
        write_csv(folder.path / "per_clip.csv", rows)
    return folder


def test_a_folder_of_the_first_identity_reads_back_with_its_parents(tmp_path: Path) -> None:
    target = plan(compose("toy", seed=1))[-1]
    run = read_run(write_old(target, tmp_path, 0.0))
    assert (run.id, run.stage, run.variant, run.seed) == ("toy-evaluate.full.s1.1a2b3c4d", "evaluate", "full", 1)
    assert run.config == target.config
    assert run.parents["eac"].parents["ame"].id == "toy-ame.full.s1.1a2b3c4d"
    assert run.parents["hef"].config.hef == target.config.hef


def test_a_table_shows_runs_of_the_first_identity_and_marks_them(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_old(planned("full")[seed], tmp_path, 0.5)
    write_old(planned("eac_mlp")[1], tmp_path, 0.75)
    table = build_table("demo", tmp_path, "toy", SEEDS)
    rows = {one["title"]: one for one in formats.json_document(table)["rows"]}
    assert rows["Transformers"]["metrics"]["EFD"]["mean"] == pytest.approx(0.6)
    assert [rows[title]["metrics"]["LMD"]["n"] for title in ("Transformers", "MLPs", "w/o hie.")] == [2, 1, 0]
    assert table.protocol == "emospace-metrics-v1"
    assert [one.title for one in table.references] == ["ground truth"]
    assert "first identity" in formats.markdown(table)
    assert "toy-evaluate.eac\\_mlp.s1.1a2b3c4d" in formats.latex(table)
    assert formats.json_document(table)["first_identity"] == [
        *("toy-evaluate.eac_mlp.s1.1a2b3c4d", "toy-evaluate.full.s0.1a2b3c4d", "toy-evaluate.full.s1.1a2b3c4d")
    ]


def test_runs_of_the_two_identities_never_share_a_table(tmp_path: Path) -> None:
    write_old(planned("full")[0], tmp_path, 0.5)
    finish(planned("eac_mlp")[0], tmp_path, 0.25)
    table = build_table("demo", tmp_path, "toy", SEEDS)
    assert (table.first_identity, table.protocol) == ((), "emospace-metrics-v2")
    rows = {one["title"]: one for one in formats.json_document(table)["rows"]}
    assert [rows[title]["metrics"]["LMD"]["n"] for title in ("Transformers", "MLPs")] == [0, 1]


def test_an_old_run_that_was_made_with_other_values_is_not_shown(tmp_path: Path) -> None:
    write_old(planned("full")[0], tmp_path, 0.5)
    steps = planned("full")[0].config.eac.steps
    assert row(tmp_path, "Transformers", overrides=[f"eac.steps={steps}"])["metrics"]["EFD"]["n"] == 1
    assert row(tmp_path, "Transformers", overrides=[f"eac.steps={steps + 1}"])["metrics"]["EFD"]["n"] == 0


def test_two_protocols_of_old_runs_are_refused(tmp_path: Path) -> None:
    folder = write_old(planned("full")[0], tmp_path, 0.5)
    write_old(planned("eac_mlp")[0], tmp_path, 0.75)
    folder.write("metrics.json", {**folder.read("metrics.json"), "protocol": "emospace-metrics-v0"})
    with pytest.raises(UserError, match="v0 and emospace-metrics-v1"):
        build_table("demo", tmp_path, "toy", [0])
