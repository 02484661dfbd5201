import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from small_training import CONFIG, STEPS, Line, Points, batch, run, work
from torch import Tensor, nn
from torch.utils.data import DataLoader

from conventions.errors import UserError
from datamodules.endless import item_loader
from datamodules.video import read_video
from experiments.callbacks import DivergedError, user_callback
from experiments.progress import InterruptedRunError, Interruption, Progress
from experiments.rundir import RunFolder, read_history
from experiments.schema import TrainerConfig
from experiments.stage import Work
from experiments.training import load_final, measure, train
from lightning_modules.training.checkpoints import read_checkpoint
from lightning_modules.training.optimisers import silence_step_hooks


class StopAt(Interruption):
    """Asks to stop at one batch, or dies there without a word."""

    def __init__(self, module: Line, step: int, die: bool) -> None:
        self.module, self.step, self.die = module, step, die

    @property
    def wanted(self) -> bool:
        reached = self.module.global_step >= self.step
        if reached and self.die:
            raise MemoryError
        return reached

    @wanted.setter
    def wanted(self, value: bool) -> None:
        pass


def weights(folder: RunFolder) -> dict[str, Tensor]:
    return torch.load(folder.checkpoints / "final.pt", weights_only=True)["state_dict"]


def curves(folder: RunFolder) -> list[dict[str, Any]]:
    return [{**row, "time": 0} for row in read_history(folder.history)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nothing interrupts."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    run(folder, Line())
    return folder


@pytest.mark.parametrize("die", [False, True])
@pytest.mark.parametrize("stop", [7, 8, 10, 22])
def test_a_broken_run_ends_with_the_same_bits_and_the_same_history(
    whole: RunFolder, tmp_path: Path, stop: int, die: bool
) -> None:
    broken, first, second = RunFolder(tmp_path / "broken"), Line(), Line()
    with pytest.raises(MemoryError if die else InterruptedRunError):
        run(broken, first, interruption=StopAt(first, stop, die))
    run(broken, second)
    resumed_from = (stop - 1) // 5 * 5 if die else stop
    assert second.seen == list(range(resumed_from, STEPS))
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    assert curves(whole) == curves(broken)


def test_history_holds_losses_rates_norms_and_validations_by_batch(whole: RunFolder) -> None:
    rows = curves(whole)
    trained = [row for row in rows if "train/loss" in row]
    assert [row["step"] for row in trained] == list(range(2, STEPS, 2))
    assert all(row["train/grad_norm"] > 0 for row in trained)
    rates = {row["step"]: row["train/lr"] for row in trained}
    assert rates[2] == pytest.approx(0.005)
    assert rates[4] == pytest.approx(0.01)
    assert rates[22] < 0.001
    assert [row["step"] for row in rows if "val/loss" in row] == [4, 8, 12, 16, 20]


def test_validation_changes_no_weight(whole: RunFolder, tmp_path: Path) -> None:
    class Unvalidated(Points):
        def val_dataloader(self) -> list[DataLoader]:
            return []

    folder = RunFolder(tmp_path / "run")
    run(folder, Line(), Unvalidated())
    assert all(torch.equal(value, weights(folder)[name]) for name, value in weights(whole).items())


def test_what_training_leaves(whole: RunFolder) -> None:
    assert sorted(path.name for path in whole.checkpoints.iterdir()) == ["final.pt", "last.ckpt"]
    assert sorted(path.name for path in whole.path.iterdir()) == ["checkpoints", "history.jsonl", "samples"]
    names = sorted(path.name for path in (whole.samples / "train").iterdir())
    assert names == [f"step-{step:07d}.{kind}" for step in (8, 16) for kind in ("mp4", "png")]
    validated = {row["step"] for row in read_history(whole.history) if "val/loss" in row}
    assert {8, 16} <= validated, "the pictures belong to rows of the history"


def test_pictures_are_of_clips_evenly_taken_from_those_of_validation(tmp_path: Path) -> None:
    class Numbered(Line):
        def samples(self, batch: Tensor) -> dict[str, Tensor]:
            return {"number": batch[0, 0] / 10 * torch.ones(2, 3, 16, 16)}

    class Six(Points):
        def val_dataloader(self) -> list[DataLoader]:
            return [item_loader([batch(number) for number in range(6)])]

    folder = RunFolder(tmp_path / "run")
    run(folder, Numbered(8), Six())
    shown = read_video(folder.strip(8).with_suffix(".mp4"))[:, 8, 8, 0] / 127.5 - 1
    assert shown.tolist() == pytest.approx([0, 0, 0.2, 0.2, 0.4, 0.4], abs=0.05)


def test_the_modules_own_test(whole: RunFolder) -> None:
    module = Line()
    load_final(module, whole.checkpoints / "final.pt")
    found = measure(module, Points(), CONFIG)
    expected = (module.eval().loss(batch(200)) + module.loss(batch(201))).item() / 2
    assert found == {"loss": pytest.approx(expected)}


def test_kept_and_best_checkpoints(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    config = TrainerConfig(
        accelerator="cpu", checkpoint_every=5, log_every=2, val_every=4, keep_every=10, monitor="val/loss"
    )
    run(folder, Line(), config=config)
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == [
        *("best.ckpt", "final.pt", "last.ckpt", "step-10.ckpt", "step-20.ckpt")
    ]
    losses = {row["step"]: row["val/loss"] for row in curves(folder) if "val/loss" in row}
    best = min(losses, key=losses.__getitem__)
    assert read_checkpoint(folder.checkpoints / "best.ckpt")["global_step"] == best


class BadAt(Points):
    """Batches that hold NaN from the 13th on."""

    @staticmethod
    def make(step: int) -> Tensor:
        points = batch(step)
        if step >= 12:
            points[1:] = float("nan")
        return points


def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_saved(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(DivergedError, match="loss of batch 13 is not finite"):
        run(folder, Line(), BadAt())
    assert not (folder.checkpoints / "final.pt").exists()
    saved = read_checkpoint(folder.checkpoints / "last.ckpt")
    assert saved["global_step"] == 10
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


class BadLast(Line):
    """A finite loss whose gradient is not: the weights of the last batch are NaN."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        if self.batch_number == STEPS - 1:
            return loss + 0 * (self.net[0].weight.sum() * 0).sqrt()
        return loss


def test_weights_that_are_not_finite_are_never_final(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"weight 'net\.0\..*' is not finite after the last batch"):
        run(RunFolder(tmp_path / "run"), BadLast())
    assert not (tmp_path / "run" / "checkpoints" / "final.pt").exists()


def test_final_weights_that_are_not_finite_are_refused(whole: RunFolder, tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in weights(whole).items()}
    state["net.0.bias"][3] = float("inf")
    torch.save({"state_dict": state}, tmp_path / "final.pt")
    with pytest.raises(UserError, match=r"net\.0\.bias.*not finite; the run diverged"):
        load_final(Line(), tmp_path / "final.pt")


def test_a_finished_run_is_extended_from_its_last_state(whole: RunFolder, tmp_path: Path) -> None:
    """Its first batches are not trained again, its optimiser goes on, and the schedule is that of the longer run."""
    longer, module = RunFolder(tmp_path / "longer"), Line(40)
    run(longer, module, start=str(whole.checkpoints / "last.ckpt"))
    assert module.seen == list(range(STEPS, 40))
    rates = {row["step"]: row["train/lr"] for row in curves(longer) if "train/lr" in row}
    alone = RunFolder(tmp_path / "alone")
    run(alone, Line(40))
    expected = {row["step"]: row["train/lr"] for row in curves(alone) if "train/lr" in row}
    assert rates == {step: pytest.approx(rate) for step, rate in expected.items() if step > STEPS}
    assert read_checkpoint(longer.checkpoints / "last.ckpt")["global_step"] == 40
    with pytest.raises(UserError, match="is complete"):
        run(RunFolder(tmp_path / "again"), Line(), start=str(whole.checkpoints / "last.ckpt"))


def test_a_warm_start_takes_the_weights_and_nothing_else(whole: RunFolder, tmp_path: Path) -> None:
    for name, start in (("id", whole.id), ("folder", str(whole.path)), ("file", str(whole.checkpoints / "final.pt"))):
        folder, module = RunFolder(tmp_path / name), Line(6)
        given = Work(*(work(folder, 6).run, whole.path.parent, folder, Progress(name, 6), Interruption()))
        train(module, Points(), given, CONFIG, start)
        assert module.seen == list(range(6))
        assert not torch.equal(weights(folder)["net.0.weight"], weights(whole)["net.0.weight"])
    first = json.loads((tmp_path / "id" / "history.jsonl").read_text().splitlines()[0])["train/loss"]
    cold = RunFolder(tmp_path / "cold")
    run(cold, Line(6))
    assert first < curves(cold)[0]["train/loss"]


class Noted(Callback):
    """A user's callback, made from words."""

    def __init__(self, limit: int, name: str = "") -> None:
        self.limit, self.name = limit, name


def test_a_users_callback_is_made_from_words() -> None:
    made = user_callback(f"{__name__}:Noted limit=3 name=mine")
    assert (made.limit, made.name) == (3, "mine")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(UserError, match=r"trainer\.callbacks: .*unexpected keyword argument 'limits'"):
        user_callback(f"{__name__}:Noted limits=3")
    with pytest.raises(UserError, match="is not a Lightning callback"):
        user_callback("small_training:LineConfig")


class Slow(Points):
    """Batches that take 30 ms each to come."""

    @staticmethod
    def make(step: int) -> Tensor:
        time.sleep(0.03)
        return batch(step)


def test_the_share_of_waiting_for_batches_is_reported(tmp_path: Path) -> None:
    shares = []
    for name, data in (("quick", Points()), ("slow", Slow())):
        shares.append(run(RunFolder(tmp_path / name), Line(), data).progress.data_wait)
    assert 0 <= shares[0] < shares[1] <= 1


def test_gradients_are_clipped_where_asked(tmp_path: Path) -> None:
    norms = {}
    for clip in (0.0, 1e-4):
        folder = RunFolder(tmp_path / str(clip))
        run(folder, Line(), config=TrainerConfig(accelerator="cpu", log_every=1, gradient_clip=clip))
        norms[clip] = weights(folder)["net.0.weight"]
    assert not torch.equal(norms[0.0], norms[1e-4])


class Twofold(Line):
    """Two optimisers, as an adversarial stage has, stepped and logged by hand."""

    def __init__(self, steps: int = STEPS) -> None:
        super().__init__(steps)
        self.automatic_optimization = False
        self.other = nn.Linear(3, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        losses = {"loss": self.loss(batch), "other": self.other(batch.cos()).square().mean()}
        first, second = self.optimizers()  # pyright: ignore[reportGeneralTypeIssues]
        silence_step_hooks(second)
        for optimizer, loss in zip((first, second), losses.values(), strict=True):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log_scalars(losses)
        return losses["loss"]

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.01) for part in (self.net, self.other)]


def test_every_row_has_the_norms_of_every_optimiser(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(folder, Twofold(3), config=TrainerConfig(accelerator="cpu", log_every=1))
    names = {f"train/{name}" for name in ("lr/1", "lr/2", "grad_norm/1", "grad_norm/2", "loss", "other")}
    rows = read_history(folder.history)
    assert [row.keys() >= names for row in rows] == [True] * 3, rows
