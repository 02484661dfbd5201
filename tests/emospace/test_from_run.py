"""Which finished run talks: the one that fits, or a question."""

from pathlib import Path

import pytest

from conventions.errors import UserError
from emospace.talking.from_run import find_run
from experiments.rundir import RunFolder


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
