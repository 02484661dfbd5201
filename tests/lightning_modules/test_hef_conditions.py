"""Where HEF's training takes its emotions from: prompts, levels moved by the slider, frames, voices."""

from pathlib import Path
from typing import Any

import hef_world as world
import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from toy_store import write_store

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from datamodules.batches import HEFBatch, HEFSoundBatch
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.hef.module import HEFModule


class SourceEncoder(world.HashEncoder):
    """The vector names the source: 0 text, 1 image, 2 audio; the token's first number is the level."""

    modalities = ("text", "image", "audio")

    def _code(self, source: int, level: Float[Tensor, " b"]) -> EmotionCode:
        token = torch.zeros(len(level), 64)
        token[:, 0] = level
        return EmotionCode(torch.eye(512)[[source] * len(level)], token, level)

    def encode_text(self, texts: Any) -> EmotionCode:
        return self._code(0, torch.full((len(texts),), 9.0))

    def encode_image(self, images: Tensor) -> EmotionCode:
        return self._code(1, torch.ones(len(images)))

    def encode_audio(self, voice: Tensor, mask: Tensor) -> EmotionCode:
        return self._code(2, mask.sum(1).float())

    def with_level(self, code: EmotionCode, level: Tensor) -> EmotionCode:
        return self._code(0, level)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return write_store(tmp_path_factory.mktemp("sound"))


def batch_of(config: DataConfig, number: int = 0) -> HEFSoundBatch:
    batch = MEADDataModule(config, "hef", 6, resolution=16, sound=True).batch_maker()(number)
    assert isinstance(batch, HEFSoundBatch)
    return batch


def sources(batch: HEFBatch, count: int = 60, **changes: Any) -> Tensor:
    """Share of each source over some batches."""
    renderer = Renderer(load_model("procedural-v1"), 16)
    module = HEFModule(world.tiny_config(batch_size=6, **changes), SourceEncoder(), renderer)
    torch.manual_seed(0)
    codes = torch.cat([module.training_codes(batch).vector[:, :3] for _ in range(count)])
    return codes.mean(0)


def test_batches_take_their_emotion_from_each_source_in_its_share(config: DataConfig) -> None:
    batch = batch_of(config)
    text, image, audio = sources(batch, 200, image_codes=0.3, voice_codes=0.4).tolist()
    assert (text, image, audio) == pytest.approx((0.3, 0.3, 0.4), abs=0.1)
    assert sources(batch, image_codes=0.0).tolist() == [1, 0, 0]
    assert sources(batch, image_codes=0.0, voice_codes=1.0).tolist() == [0, 0, 1]


def test_a_clip_without_sound_keeps_its_text(config: DataConfig) -> None:
    batch = batch_of(config)
    batch.voice_mask[:3] = False
    assert sources(batch, image_codes=0.0, voice_codes=1.0).tolist() == pytest.approx([0.5, 0, 0.5])


def test_the_slider_moves_codes_to_the_level_of_the_clip(config: DataConfig) -> None:
    batch, renderer = batch_of(config), Renderer(load_model("procedural-v1"), 16)
    levels = [0 if EMOTIONS[e] == "neutral" else n for e, n in zip(batch.emotion, batch.level, strict=True)]
    for share, expected in ((0.0, [9] * 6), (1.0, levels)):
        config_ = world.tiny_config(batch_size=6, image_codes=0.0, slider_share=share)
        module = HEFModule(config_, SourceEncoder(), renderer)
        assert module.training_codes(batch).level.tolist() == expected


def test_voices_are_of_a_stretch_about_the_target_and_windows_begin_there(config: DataConfig) -> None:
    module = MEADDataModule(config, "hef", 8, resolution=16, sound=True, successive=5)
    store, batch = module.store, module.batch_maker()(3)
    plain = MEADDataModule(config, "hef", 8, resolution=16, successive=5).batch_maker()(3)
    assert type(plain) is HEFBatch
    assert torch.equal(plain.target, batch.target), "sound changes no other number"
    rows = {store.coefficients[row].tobytes(): row for row in range(store.num_frames)}
    found = [rows[one.numpy().tobytes()] for one in batch.target_coefficients]
    assert found[:5] == list(range(found[0], found[0] + 5)), "one window leads the batch"
    assert batch.window.all()
    audio = torch.from_numpy(store.audio[:].reshape(-1) / 32767).float()
    for row, sound in zip(found, batch.sound, strict=True):
        clip = next(clip for clip in store.clips if clip.start <= row < clip.start + clip.length)
        inside = min(5, clip.start + clip.length - row)
        assert torch.allclose(sound[640 : 640 * (1 + inside)], audio[row * 640 : (row + inside) * 640], atol=1e-6)
        assert torch.equal(sound[640 * (1 + inside) :].abs() > 0, torch.zeros(640 * (6 - inside)) > 0) or inside == 5
    assert batch.voice_mask.sum(1).unique().tolist() == [4 * module.config.clip_frames]


def test_voices_need_batches_with_sound(config: DataConfig) -> None:
    batch = MEADDataModule(config, "hef", 6, resolution=16).batch_maker()(0)
    assert isinstance(batch, HEFBatch)
    with pytest.raises(UserError, match=r"hef\.voice_codes > 0 needs batches with audio"):
        sources(batch, voice_codes=0.1)


def test_shares_of_more_than_all_batches_are_impossible() -> None:
    with pytest.raises(ValueError, match=r"voice_codes: 0\.5 is impossible; with image_codes it must be at most 1"):
        world.tiny_config(image_codes=0.6, voice_codes=0.5)


def test_training_with_every_source_goes_on(config: DataConfig, tmp_path: Path) -> None:
    from loops import quiet_trainer

    changes = {"image_codes": 0.3, "voice_codes": 0.4, "slider_share": 0.5, "batch_size": 4, "micro_batches": 2}
    module = HEFModule(world.tiny_config(**changes), SourceEncoder(), Renderer(load_model("procedural-v1"), 16))
    quiet_trainer(max_steps=2).fit(module, datamodule=MEADDataModule(config, "hef", 4, resolution=16, sound=True))
