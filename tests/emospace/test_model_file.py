"""A model in one file: what is written is what is read, and nothing else is; and which finished run talks."""

import dataclasses
import json
from pathlib import Path

import hef_world as world
import pytest
import safetensors.torch
import torch
from tiny_model import AME, EAC, Modules, parts_of, tiny_modules

from conventions.errors import UserError
from emospace.talker import Talker
from emospace.talking.from_run import find_run
from emospace.talking.model_file import ModelParts, build, from_dict, read_model, write_model
from experiments.rundir import RunFolder
from face3d.coefficients import IDENTITY


@pytest.fixture(scope="module")
def modules() -> Modules:
    return tiny_modules()


@pytest.fixture(scope="module")
def parts(modules: Modules) -> ModelParts:
    return parts_of(modules)


def test_a_model_talks_from_its_file_as_before(tmp_path: Path, modules: Modules, parts: ModelParts) -> None:
    write_model(tmp_path / "a.emospace", parts)
    talker = Talker.from_file(tmp_path / "a.emospace")
    ame, eac, hef = modules
    code, read = (e.encode_text(["a very happy face"]) for e in (ame.encoder, talker.pipeline.encoder))
    torch.testing.assert_close(code.vector, read.vector, rtol=0, atol=0)
    rows, places = world.faces(2, torch.Generator().manual_seed(0))
    mfcc = torch.randn(9, 28, 13, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (m.predict_speech(mfcc, code, rows[:1, IDENTITY]) for m in (eac, talker.pipeline.eac))
        torch.testing.assert_close(before, after, rtol=0, atol=0)
        image = torch.zeros(1, 3, 16, 16)
        drawn = [
            m.animate(image, rows[:1], places[:1], rows, places, code.repeat(2)) for m in (hef, talker.pipeline.hef)
        ]
    torch.testing.assert_close(*drawn, rtol=0, atol=0)
    assert talker.model.stand_ins == ["trained on nothing"]
    assert talker.model.card["data"] == {"hash": "abc"}


def test_half_precision_is_half_the_size(tmp_path: Path, parts: ModelParts) -> None:
    write_model(tmp_path / "a.emospace", parts)
    write_model(tmp_path / "b.emospace", parts, half=True)
    whole, half = ((tmp_path / f"{name}.emospace").stat().st_size for name in "ab")
    assert half < 0.6 * whole
    build(read_model(tmp_path / "b.emospace"), "b")


def test_the_same_parts_make_the_same_bytes(tmp_path: Path, parts: ModelParts) -> None:
    for name in "ab":
        write_model(tmp_path / name, parts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"no model", b"\x80\x04K\x01.", b"\xff" * 64, b"{" * 20])
def test_a_file_of_anything_else_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.emospace").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.emospace: is not a model file of emospace"):
        read_model(tmp_path / "a.emospace")


def test_a_cut_file_is_one_line(tmp_path: Path, parts: ModelParts) -> None:
    write_model(tmp_path / "a.emospace", parts)
    whole = (tmp_path / "a.emospace").read_bytes()
    for length in (4, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.emospace").write_bytes(whole[:length])
        with pytest.raises(UserError, match="is not a model file of emospace"):
            read_model(tmp_path / "a.emospace")


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"format": 9}, "is of format 9"),
        ({"format": 1}, "is not a model file"),
        ([1], "is not a model file"),
        ({"format": 1, "face_model": "procedural-v1", "configs": {"eac": {}}, "card": {}}, "lacks the module 'ame'"),
        ({"format": 1, "face_model": "x", "configs": {"eax": {}}, "card": {}}, "did you mean 'eac'"),
        ({"format": 1, "face_model": "x", "configs": {"eac": {"stepz": 1}}, "card": {}}, "did you mean 'steps'"),
    ],
)
def test_headers_that_cannot_be(tmp_path: Path, about: object, line: str) -> None:
    data = safetensors.torch.save({"eac/a": torch.zeros(1)}, {"emospace": json.dumps(about)})
    (tmp_path / "a.emospace").write_bytes(data)
    with pytest.raises(UserError, match=line):
        build(read_model(tmp_path / "a.emospace"), "a.emospace")


def test_weights_of_another_shape_are_named(tmp_path: Path, parts: ModelParts) -> None:
    name = next(iter(parts.states["eac"]))
    wrong = dataclasses.replace(
        parts, states={**parts.states, "eac": {**parts.states["eac"], name: torch.zeros(3, 5, 7)}}
    )
    with pytest.raises(UserError, match=name):
        build(wrong, "a.emospace")


def test_configs_survive_json() -> None:
    for config in (AME, EAC, world.tiny_config()):
        plain = json.loads(json.dumps(dataclasses.asdict(config)))
        assert from_dict(type(config), plain, "a") == config


def finished(runs: Path, name: str, stage: str, experiment: str = "toy", variant: str = "full", **parents: str) -> str:
    """A finished run without its networks."""
    folder = RunFolder(runs / name)
    folder.path.mkdir(parents=True)
    final = folder.checkpoints / "final.pt"
    final.parent.mkdir()
    final.touch()
    folder.write("metrics.json", {"metrics": {}, "required": [], "hash": name.rpartition(".")[2]})
    folder.write("provenance.json", {"parents": parents})
    folder.set_status("done", stage=stage, experiment=experiment, variant=variant, seed=0, hash=name.rpartition(".")[2])
    return name


def test_the_only_run_talks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run that can talk; `emospace run toy`"):
        find_run(tmp_path)
    finished(tmp_path, "eac.s0.1", "eac")
    run = finished(tmp_path, "hef.s0.1", "hef")
    assert find_run(tmp_path).id == run


def test_an_evaluation_stands_for_its_hef(tmp_path: Path) -> None:
    run = finished(tmp_path, "evaluate.s0.1", "evaluate", hef=finished(tmp_path, "hef.s0.1", "hef"))
    assert find_run(tmp_path).id == run
    finished(tmp_path, "hef.s0.2", "hef", ame="ame.s0.2")
    assert find_run(tmp_path).id == run, "a HEF without an EAC on its emotion space cannot talk"
    finished(tmp_path, "eac.s0.2", "eac", ame="ame.s0.2")
    with pytest.raises(UserError, match=r"more than one.*--run: evaluate.s0.1, hef.s0.2"):
        find_run(tmp_path)


def test_a_misspelt_run_is_named_with_the_nearest_that_talks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no finished run that can talk"):
        find_run(tmp_path, "hef.s0.1a2b3c4d")
    finished(tmp_path, "eac.s0.7", "eac")
    run = finished(tmp_path, "hef.s0.7a2b3c4d", "hef")
    with pytest.raises(UserError, match=rf"run 'hef.s0.1a2b3c4d' is not in .*; did you mean '{run}'\?"):
        find_run(tmp_path, "hef.s0.1a2b3c4d")


def test_full_models_come_before_variants_and_presets_choose(tmp_path: Path) -> None:
    finished(tmp_path, "evaluate.s0.1", "evaluate", variant="hef_no_residual")
    run = finished(tmp_path, "evaluate.s0.2", "evaluate")
    assert find_run(tmp_path).id == run
    mine = finished(tmp_path, "evaluate.s0.3", "evaluate", experiment="mine")
    with pytest.raises(UserError, match="more than one"):
        find_run(tmp_path)
    assert find_run(tmp_path, preset="mine").id == mine
    assert find_run(tmp_path, "evaluate.s0.1").id == "evaluate.s0.1"


def test_a_run_of_the_first_identity_is_of_its_experiment(tmp_path: Path) -> None:
    run = finished(tmp_path, "toy-evaluate.full.s0.0123abcd", "evaluate", experiment="")
    assert find_run(tmp_path, preset="toy").id == run
    with pytest.raises(UserError, match="no finished run of tiny"):
        find_run(tmp_path, preset="tiny")
