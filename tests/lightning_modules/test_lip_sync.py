"""The lip-sync expert, and the losses of EAC and HEF that ask it."""

from itertools import islice
from pathlib import Path
from typing import Any

import hef_world as world
import pytest
import torch
from loops import metrics_of, quiet_trainer
from small_stages import EAC, encoder, face
from torch import Tensor, nn
from toy_store import write_store

from conventions.errors import UserError
from datamodules.batches import EACSoundBatch, HEFSoundBatch
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from face3d.coefficients import EXPRESSION
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.eac.config import EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.config import AugmentConfig, HEFWeights
from lightning_modules.hef.module import HEFModule
from lightning_modules.standins.config import LipSyncConfig
from lightning_modules.standins.lip_sync.module import LipSyncData, LipSyncExpert, LipSyncModule
from lightning_modules.training.lip_sync import lip_sync_loss, random_starts, window_mfcc, window_sound
from metrics.backbones.syncnet import SyncNet
from metrics.speech_features import sound_windows, syncnet_mfcc

SMALL = LipSyncConfig(steps=2, clips=2, windows=6, renders=2, width=4)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return write_store(tmp_path_factory.mktemp("lip-sync"), frames=30, size=64)


@pytest.fixture(scope="module")
def expert() -> LipSyncExpert:
    torch.manual_seed(0)
    return LipSyncExpert(4).eval()


class Colour(nn.Module):
    """Embeds frames by their mean colour, and every audio as red."""

    own_crop = False

    def __init__(self) -> None:
        super().__init__()
        self.size: tuple[int, ...] = ()

    def audio(self, mfcc: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(mfcc), 3)

    def video(self, frames: Tensor) -> Tensor:
        self.size = tuple(frames.shape)
        return frames.mean(dim=(1, 3, 4)) + 1


class Cropped(Colour):
    own_crop = True


def test_the_mfccs_of_a_window_are_those_of_the_whole_sound() -> None:
    sound = torch.rand(30 * 640, generator=torch.Generator().manual_seed(0)) - 0.5
    starts = (1, 7, 20)
    cut = torch.stack([sound[(start - 1) * 640 : (start + 6) * 640] for start in starts])
    torch.testing.assert_close(window_mfcc(cut), sound_windows(sound, 25)[list(starts)], rtol=1e-4, atol=1e-4)
    assert window_mfcc(cut).shape == (3, 13, 20)


def test_the_loss_is_the_angle_over_the_windows_that_are_heard() -> None:
    red, cyan = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, 1.0, 1.0])
    frames = torch.stack([red, cyan, red])[:, None, :, None, None].expand(3, 5, 3, 8, 8).clone().requires_grad_()
    points, sound = torch.rand(3, 5, 68, 2) - 0.5, torch.zeros(3, 4480)

    def loss(*heard: bool) -> Tensor:
        return lip_sync_loss(Colour(), sound, frames, points, torch.tensor(heard))

    assert loss(True, False, True).item() == pytest.approx(0, abs=1e-6)
    assert loss(True, True, False).item() == pytest.approx(0.5, abs=1e-6)
    assert loss(False, False, False).item() == 0
    (gradient,) = torch.autograd.grad(loss(False, True, False), frames)
    assert [bool(part.abs().sum() > 0) for part in gradient] == [False, True, False]


def test_an_expert_with_a_crop_of_its_own_is_given_the_face() -> None:
    frames = torch.full((2, 5, 3, 32, 32), -1.0)
    frames[..., 4:28, 4:28] = 1.0
    expert = Cropped()
    points = (torch.rand(2, 5, 68, 2) - 0.5) * 0.6
    lip_sync_loss(expert, torch.zeros(2, 4480), frames, points, torch.ones(2, dtype=torch.bool))
    assert expert.size == (2, 5, 3, 224, 224)


def test_syncnet_passes_gradients_to_the_frames() -> None:
    torch.manual_seed(0)
    frames = (torch.rand(1, 5, 3, 32, 32) * 2 - 1).requires_grad_()
    points = ((torch.rand(1, 1, 68, 2) - 0.5) * 0.8).expand(1, 5, 68, 2)
    network = SyncNet().eval().requires_grad_(False)
    lip_sync_loss(network, torch.rand(1, 4480) - 0.5, frames, points, torch.tensor([True])).backward()
    assert frames.grad is not None
    assert frames.grad.abs().sum() > 0


def test_windows_are_a_function_of_their_number_and_belong_together(config: DataConfig) -> None:
    data = LipSyncData(SMALL, config, seed=3)
    data.next_batch = 2
    later = next(iter(data.train_dataloader()))
    data.next_batch = 0
    again = list(islice(data.train_dataloader(), 3))[2]
    assert all(torch.equal(getattr(later, name), value) for name, value in vars(again).items())
    assert later.pictures.shape == (12, 5, 3, 64, 64)
    store, window = data.store, later.coefficients[0]
    row = next(r for r in range(store.num_frames) if (store.coefficients[r] == window[0].numpy()).all())
    clip = next(clip for clip in store.clips if clip.start <= row < clip.start + clip.length)
    assert clip.actor in ("M001", "M002"), "actors of the training"
    sound = torch.from_numpy(store.audio[clip.rows].reshape(-1) / 32767).float()
    first = (row - clip.start) * 4
    torch.testing.assert_close(later.sounds[0], syncnet_mfcc(sound)[first : first + 20].T, rtol=1e-3, atol=1e-3)
    assert (later.pictures[0, 4].numpy() == store.frames(clip, [row - clip.start + 4], 64)[0].transpose(2, 0, 1)).all()


def test_the_expert_is_trained_and_tested_on_photographs_and_renders(config: DataConfig) -> None:
    data = LipSyncData(SMALL, config, seed=0)
    module = LipSyncModule(SMALL, Renderer(load_model("procedural-v1"), 64))
    before = {name: tensor.clone() for name, tensor in module.named_parameters()}
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, datamodule=data)
    assert {"train/photo", "train/render", "train/loss"} <= trainer.logged_metrics.keys()
    assert not any(torch.equal(tensor, before[name]) for name, tensor in module.named_parameters())
    assert module.expert.mfcc_scale.ne(1).any()
    found = metrics_of(module, data=data)
    assert set(found) == {"photo_accuracy", "photo_confidence", "render_accuracy", "render_confidence"}
    again = LipSyncExpert.rebuild(module.expert.recipe())
    frames = torch.rand(1, 5, 3, 64, 64)
    assert torch.equal(again.video(frames), module.eval().expert.video(frames))


def test_without_a_renderer_photographs_alone_are_learnt(config: DataConfig) -> None:
    data, module = LipSyncData(SMALL, config, seed=0), LipSyncModule(SMALL)
    assert set(module.losses(data.batch(0))) == {"photo"}
    assert set(metrics_of(module, data=data)) == {"photo_accuracy", "photo_confidence"}


def test_windows_lie_within_what_the_mask_shows() -> None:
    torch.manual_seed(0)
    mask = torch.arange(12)[None] < torch.tensor([12, 7, 5, 3])[:, None]
    drawn = torch.stack([random_starts(mask) for _ in range(200)])
    assert drawn.amax(0).tolist() == [7, 2, 0, 0]
    assert drawn.amin(0).tolist() == [0] * 4
    sound = torch.arange(2 * 12 * 640.0).view(2, -1)
    cut = window_sound(sound, torch.tensor([0, 7]))
    assert torch.equal(cut[0, 640:], sound[0, : 6 * 640])
    assert cut[0, :640].eq(0).all()
    assert torch.equal(cut[1, : 6 * 640], sound[1, 6 * 640 :])
    assert cut[1, 6 * 640 :].eq(0).all()


def eac(config: DataConfig, expert: LipSyncExpert) -> tuple[EACModule, MEADDataModule]:
    weights = EACWeights(mouth=0.0, emotion=0.0, sync=2.0)
    numbers = EACConfig(backbone=EAC.backbone, weights=weights, sync_clips=3, steps=2, warmup=1)
    torch.manual_seed(0)
    return EACModule(numbers, encoder(), face(32), sync_expert=expert), MEADDataModule(config, "eac", 4, sound=True)


def test_eac_learns_from_a_window_of_some_clips(config: DataConfig, expert: LipSyncExpert, tmp_path: Path) -> None:
    module, data = eac(config, expert)
    batch = data.batch_maker()(0)
    assert isinstance(batch, EACSoundBatch)
    predicted = batch.coefficients[..., EXPRESSION].clone().requires_grad_()
    losses = module.losses(batch, predicted)
    (gradient,) = torch.autograd.grad(losses["sync"], predicted)
    moved = (gradient.abs().sum(-1) > 0).sum(1).tolist()
    assert moved[3] == 0
    assert all(0 < count <= 5 for count in moved[:3])
    expected = losses["coefficients"] + losses["velocity"] + 2 * losses["sync"]
    assert module.total(losses).item() == pytest.approx(expected.item())
    trainer = quiet_trainer(max_steps=2, val_check_interval=2, check_val_every_n_epoch=None)
    trainer.fit(module, datamodule=data)
    assert {"train/sync", "val/loss"} <= trainer.logged_metrics.keys() | trainer.callback_metrics.keys()
    trainer.save_checkpoint(tmp_path / "eac.ckpt")
    again = EACModule.load_from_checkpoint(tmp_path / "eac.ckpt").sync_expert
    frames = torch.rand(1, 5, 3, 64, 64)
    assert torch.equal(again.video(frames), expert.video(frames))  # pyright: ignore


def test_eac_names_what_its_lip_sync_loss_needs(config: DataConfig, expert: LipSyncExpert) -> None:
    weights = EACWeights(mouth=0.0, emotion=0.0, sync=1.0)
    with pytest.raises(UserError, match=r"eac\.weights\.sync > 0 needs sync_expert="):
        EACModule(EACConfig(weights=weights), encoder(), face(32))
    with pytest.raises(UserError, match=r"eac\.weights\.sync > 0 needs renderer="):
        EACModule(EACConfig(weights=weights), encoder(), sync_expert=expert)
    module, _ = eac(config, expert)
    batch = MEADDataModule(config, "eac", 4).batch_maker()(0)
    with pytest.raises(UserError, match="needs batches with audio"):
        module.losses(batch, batch.coefficients[..., EXPRESSION])  # pyright: ignore[reportAttributeAccessIssue]


def hef(expert: LipSyncExpert | None, **changes: Any) -> HEFModule:
    numbers = {"batch_size": 12, "micro_batches": 2, "weights": HEFWeights(sync=1.0, temporal=1.0), **changes}
    torch.manual_seed(0)
    renderer = Renderer(load_model("procedural-v1"), 16)
    return HEFModule(world.tiny_config(**numbers), world.HashEncoder(), renderer, sync_expert=expert)


def test_hef_learns_from_the_window_with_which_each_part_begins(config: DataConfig, expert: LipSyncExpert) -> None:
    module = hef(expert)
    drawn = {"successive": module.config.successive, "parts": 2, "sound": module.config.needs_sound}
    data = MEADDataModule(config, "hef", 12, resolution=16, **drawn)
    for part in module.parts(data.batch_maker()(1)):
        steps = part.frames.target_coefficients[:5, EXPRESSION].diff(dim=0).abs().sum(1)
        assert (steps > 0).all(), "five different frames"
        assert torch.equal(part.frames.source[:1].expand(5, -1, -1, -1), part.frames.source[:5]), "of one portrait"
        image = part.frames.target.clone().requires_grad_()
        module.sync_loss(image, part).backward()
        assert image.grad is not None
        assert [bool(one.abs().sum() > 0) for one in image.grad] == [True] * 5 + [False]
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, datamodule=data)
    assert {"train/sync", "train/temporal"} <= trainer.logged_metrics.keys()
    assert module.objective.factors(0)["sync"] == 1.0


def test_hef_leaves_windows_without_sound_out(config: DataConfig, expert: LipSyncExpert) -> None:
    module = hef(expert, batch_size=5, micro_batches=1)
    batch = MEADDataModule(config, "hef", 5, resolution=16, successive=5, sound=True).batch_maker()(0)
    assert isinstance(batch, HEFSoundBatch)
    assert module.sync_loss(batch.target, module.task(batch)) > 0
    batch.window[:] = False
    assert module.sync_loss(batch.target, module.task(batch)) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 8, "micro_batches": 2}, r"needs 5 frames after one another; hef\.batch_size 8 in 2 parts"),
        ({"augment": AugmentConfig(share=0.5)}, r"hef\.weights\.sync: needs hef\.augment\.share 0"),
    ],
)
def test_hef_names_what_its_lip_sync_loss_needs(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        hef(None, **changes)


def test_hef_needs_the_expert() -> None:
    with pytest.raises(UserError, match=r"hef\.weights\.sync > 0 needs sync_expert="):
        hef(None)
