"""What finished runs can talk: the parts of a model from run folders. The one place that reads run folders."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from conventions.errors import UserError, nearest
from datamodules.store import Store
from emospace.talking.model_file import HEF_WEIGHTS, ModelParts, State
from experiments.graph import FULL
from experiments.published import parents_of
from experiments.readback import experiment_of, read_run
from experiments.rundir import RunFolder, RunSummary, list_runs
from experiments.stage import StageRun
from face3d.morphable import PROCEDURAL
from lightning_modules.ame.config import STANDIN
from lightning_modules.eac.network import speech_form_of
from lightning_modules.training.checkpoints import read_checkpoint


def find_run(runs: Path, run_id: str | None = None, preset: str | None = None) -> RunFolder:
    """The run that is asked for; else the one finished run, of the experiment `preset`, that can talk.

    Those are runs of stage evaluate, and of stage hef with a finished EAC where no such evaluation is of it. Full
    models come before variants. UserError that lists the runs where there are several, or names the nearest to
    a run that is absent.
    """
    if run_id is not None and (runs / run_id / "status.json").is_file():
        return RunFolder(runs / run_id)
    done = _done(runs)
    asked = [run for run in done if preset in (None, run.experiment or experiment_of(run.id))]
    folders = {name: [RunFolder(runs / run.id) for run in asked if run.stage == name] for name in ("evaluate", "hef")}
    evaluated = {parents_of(folder).get("hef") for folder in folders["evaluate"]}
    alone = [folder for folder in folders["hef"] if folder.id not in evaluated]
    able = folders["evaluate"] + [hef for hef in alone if _eacs_beside(hef, done)]
    what = f"finished run of {preset}" if preset else "finished run"
    if not able:
        raise UserError(f"{runs}: contains no {what} that can talk; `emospace run {preset or 'toy'}` makes one")
    if run_id is not None:
        raise UserError(f"run {run_id!r} is not in {runs}{nearest(run_id, [folder.id for folder in able])}")
    return _only(able, f"{runs}: holds more than one {what} that can talk; choose one with --run")


def _done(runs: Path) -> list[RunSummary]:
    return [run for run in list_runs(runs) if run.state == "done"]


def _only(folders: list[RunFolder], several: str) -> RunFolder:
    """The one full model; the one folder where none is full. A UserError that begins with `several` otherwise."""
    chosen = [folder for folder in folders if folder.status.get("variant") == FULL] or folders
    if len(chosen) > 1:
        raise UserError(f"{several}: {', '.join(sorted(folder.id for folder in chosen))}")
    return chosen[0]


def parts_of(folder: RunFolder, eac: RunFolder | None = None) -> ModelParts:
    """The parts of a model from a run of stage evaluate or hef and its parents; no store is needed.

    `eac` is the EAC to use; None: that of the evaluation, or of a HEF run the one finished EAC of its seed on its
    emotion space.
    """
    run = read_run(folder)
    if run.stage not in ("evaluate", "hef"):
        raise UserError(f"run {run.id}: is of stage {run.stage}; a talking face needs a run of stage evaluate or hef")
    runs = folder.path.parent
    hef = run.parents["hef"] if run.stage == "evaluate" else run
    speaks = read_run(eac) if eac else run.parents["eac"] if run.stage == "evaluate" else _eac_beside(runs, hef)
    members = dict(_members(speaks.parents["ame"], "")) | {"eac": speaks, "hef": hef}
    if hef.parents["ame"].id != speaks.parents["ame"].id:
        members |= dict(_members(hef.parents["ame"], "hef_"))
    states = {name: _state(member, runs) for name, member in members.items()}
    return ModelParts(
        face_model=_face_model(hef, folder),
        configs={name: dataclasses.asdict(_config(member, name, states)) for name, member in members.items()},
        states=states,
        card=_card(run, members, folder),
    )


def _members(ame: StageRun, prefix: str) -> Iterator[tuple[str, StageRun]]:
    """AME and the stand-ins that its towers are."""
    yield f"{prefix}ame", ame
    for name in ("clip", "gpt2"):
        if name in ame.parents:
            yield f"{prefix}{name}", ame.parents[name]


def _eacs_beside(hef: RunFolder, done: Sequence[RunSummary]) -> list[RunFolder]:
    """The EACs among the finished runs of the same seed on the same emotion space as a HEF."""
    eacs = [RunFolder(hef.path.parent / run.id) for run in done if run.stage == "eac"]
    fits = hef.status.get("seed"), parents_of(hef).get("ame")
    return [eac for eac in eacs if (eac.status.get("seed"), parents_of(eac).get("ame")) == fits]


def _eac_beside(runs: Path, hef: StageRun) -> StageRun:
    """The finished EAC of the same seed on the same emotion space as a HEF."""
    fitting = _eacs_beside(hef.folder(runs), _done(runs))
    if not fitting:
        raise UserError(f"run {hef.id}: {runs} contains no finished EAC on its emotion space {hef.parents['ame'].id}")
    return read_run(_only(fitting, f"run {hef.id}: more than one EAC fits it; choose a run of stage evaluate"))


def _config(run: StageRun, name: str, states: Mapping[str, State]) -> Any:
    stage = name.removeprefix("hef_")
    if stage == "eac":
        return dataclasses.replace(run.config.eac, speech=speech_form_of(states["eac"], run.config.data.speech))
    return getattr(run.config.prior if stage in ("clip", "gpt2") else run.config, stage)


def _state(run: StageRun, runs: Path) -> dict[str, Tensor]:
    path = run.folder(runs).checkpoints / "final.pt"
    if not path.exists():
        raise UserError(f"run {run.id}: has no final weights ({path}); `emospace run` trains it")
    state = read_checkpoint(path)["state_dict"]
    if run.stage != "hef":
        return state
    return {k.removeprefix(HEF_WEIGHTS): v for k, v in state.items() if k.startswith(HEF_WEIGHTS)}


def _face_model(run: StageRun, folder: RunFolder) -> str:
    """The model of the store's coefficients: as the run noted it, as its world makes it, or as the store has it."""
    noted = folder.read("provenance.json").get("store", {}).get("coefficient_model")
    if noted or run.config.world.fills_store:
        return str(noted or PROCEDURAL)
    name = Store(run.config.data.store).coefficient_model
    assert name is not None, "a HEF is trained on coefficients"
    return name


def _card(run: StageRun, members: dict[str, StageRun], folder: RunFolder) -> dict[str, Any]:
    """What is known of a model: data, split, stand-ins, metrics, licences and hashes."""
    stand_ins = ["trained on the toy world, not on MEAD"] if run.config.world.fills_store else []
    if "clip" in members:
        stand_ins.append("emotion space from a tiny CLIP stand-in, not from CLIP")
    text = run.config.ame.text
    public = [name for name in (text.clip_model, text.gpt2_model) if name != STANDIN]
    return {
        "run": run.id,
        "data": folder.read("provenance.json").get("store", {}) | {"path": Path(run.config.data.store).name},
        "split": str(run.config.data.split),
        "stand_ins": stand_ins,
        "metrics": folder.read("metrics.json").get("metrics", {}),
        "licences": ["weights: as their training data", *(f"{name}: its authors' own" for name in public)],
        "hashes": {name: member.hash for name, member in members.items()},
    }
