"""AME, EAC and HEF in a user's own trainer: they train, validate, save, resume and load again without our runner."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import hef_world
import pytest
import pytorch_lightning as pl
import torch
from loops import quiet_trainer
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from small_stages import EAC, SETTINGS, STEPS, Setting, ame, eac, face
from toy_store import write_store

from conventions.errors import UserError
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from face3d.renderer import Renderer
from lightning_modules.ame.config import AMEConfig
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.config import BackboneConfig, EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule
from lightning_modules.training.parents import describe, rebuild


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return write_store(tmp_path_factory.mktemp("plain"), unseen=("awed",))


@pytest.fixture(params=SETTINGS, ids=lambda setting: setting.view)
def setting(request: pytest.FixtureRequest) -> Setting:
    return request.param


def trainer(steps: int = STEPS, **options: Any) -> pl.Trainer:
    few = {"val_check_interval": 3, "check_val_every_n_epoch": None, "num_sanity_val_steps": 0}
    return quiet_trainer(max_steps=steps, **{**few, **options})


class Seen(pl.Callback):
    """What the training batches held."""

    def __init__(self) -> None:
        self.batches: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batches.append(sum(float(tensor.double().sum()) for tensor in vars(batch).values()))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_users_own_logger_and_callbacks_serve(config: DataConfig, setting: Setting, tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="val/loss")
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    options = {"val_check_interval": 2, "num_sanity_val_steps": 2, "log_every_n_steps": 1, "enable_checkpointing": True}
    own = trainer(logger=logger, callbacks=[best, LearningRateMonitor("step")], **options)
    module, data = setting.make(), setting.data(config)
    own.fit(module, datamodule=data)
    assert own.global_step == STEPS
    assert best.best_model_score is not None
    assert best.best_model_score.isfinite()
    text = (Path(logger.log_dir) / "metrics.csv").read_text()
    assert "val/loss" in text.splitlines()[0]
    assert "lr-Adam" in text.splitlines()[0]
    validated = {name.removeprefix("val/") for name in own.callback_metrics if name.startswith("val/")}
    own.test(module, datamodule=data, verbose=False)
    tested = {name.removeprefix("test/") for name in own.callback_metrics if name.startswith("test/")}
    assert validated - tested == {"loss"}
    assert all(name.startswith("unseen") for name in tested - validated)
    assert bool(tested - validated) == (setting.view != "hef")


def test_resumed_equals_unbroken_and_sees_each_batch_once(config: DataConfig, setting: Setting, tmp_path: Path) -> None:
    whole, seen, early, late = setting.make(), Seen(), Seen(), Seen()
    trainer(6, callbacks=[seen]).fit(whole, datamodule=setting.data(config))
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1, filename="{step}")
    trainer(3, callbacks=[early, keep], enable_checkpointing=True).fit(setting.make(), datamodule=setting.data(config))
    resumed, data = setting.make(), setting.data(config)
    trainer(6, callbacks=[late]).fit(resumed, datamodule=data, ckpt_path=tmp_path / "step=3.ckpt")
    assert early.batches + late.batches == seen.batches
    assert len(set(seen.batches)) == 6
    assert same(whole.state_dict(), resumed.state_dict())
    trainer(1, callbacks=[anew := Seen()]).fit(setting.make(), datamodule=data)
    assert anew.batches == seen.batches[:1], "a new training begins at the first batch"


def test_a_checkpoint_loads_without_anything_else(config: DataConfig, setting: Setting, tmp_path: Path) -> None:
    module, data = setting.make(), setting.data(config)
    own = trainer(2)
    own.fit(module, datamodule=data)
    own.save_checkpoint(tmp_path / "whole.ckpt")
    assert torch.load(tmp_path / "whole.ckpt", weights_only=True)["hyper_parameters"]
    torch.manual_seed(99)
    again = type(module).load_from_checkpoint(tmp_path / "whole.ckpt")
    assert again.config == module.config
    assert same(again.state_dict(), module.state_dict())
    found = []
    for one in (module, again):
        own.test(one, datamodule=data, verbose=False)
        found.append({name: float(value) for name, value in own.callback_metrics.items() if name.startswith("test/")})
    assert found[0] == pytest.approx(found[1], nan_ok=True)
    again.train()
    trainer(1).fit(again, datamodule=setting.data(config))


def test_parents_may_stay_out_of_a_checkpoint(config: DataConfig, tmp_path: Path) -> None:
    module = eac()
    module.embed_parents = False
    own = trainer(1)
    own.fit(module, datamodule=SETTINGS[1].data(config))
    own.save_checkpoint(tmp_path / "small.ckpt")
    assert "parents" not in torch.load(tmp_path / "small.ckpt", weights_only=True)
    with pytest.raises(UserError, match=r"small\.ckpt: lacks what EACModule needs: give encoder="):
        EACModule.load_from_checkpoint(tmp_path / "small.ckpt")
    again = EACModule.load_from_checkpoint(
        tmp_path / "small.ckpt", encoder=module.encoder, renderer=module.renderer, emotion_critic=module.emotion_critic
    )
    assert same(again.state_dict(), module.state_dict())


class OwnEncoder(EmotionEncoder):
    """An encoder without recipe() and rebuild()."""

    modalities = ("text",)

    def encode_text(self, texts: Any) -> EmotionCode:
        return EmotionCode(torch.eye(512)[: len(texts)], torch.zeros(len(texts), 64), torch.zeros(len(texts)))


def test_a_parent_that_cannot_be_rebuilt_is_named(config: DataConfig, tmp_path: Path) -> None:
    plain = EACConfig(EAC.backbone, EACWeights(mouth=0.0, emotion=0.0), slider_share=0.0, steps=STEPS)
    module, own = EACModule(plain, OwnEncoder()), trainer(1, limit_val_batches=0)
    own.fit(module, datamodule=SETTINGS[1].data(config))
    own.save_checkpoint(tmp_path / "own.ckpt")
    with pytest.raises(UserError, match=r"cannot rebuild encoder: .*OwnEncoder has no recipe.*give encoder="):
        EACModule.load_from_checkpoint(tmp_path / "own.ckpt")
    assert EACModule.load_from_checkpoint(tmp_path / "own.ckpt", encoder=OwnEncoder()).config == plain


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "face model 'ball' is unknown.*; give renderer=$"),
        ({"name": "bfm09", "path": "/nowhere/face.mat"}, "/nowhere/face.mat.*; give renderer=$"),
    ],
)
def test_a_face_model_that_is_not_there_is_named(changes: dict[str, str], words: str) -> None:
    recipe = describe(Renderer(replace(hef_world.ball(), **changes), 16))
    with pytest.raises(UserError, match=words):
        rebuild("renderer", recipe)


def test_a_checkpoint_imports_no_foreign_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign.py").write_text("raise SystemExit('this code was run')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"cannot import 'foreign'.*; import it first, or give encoder="):
        rebuild("encoder", {"class": "foreign:Encoder", "recipe": {}})


def test_what_is_missing_is_named() -> None:
    encoder = OwnEncoder()
    with pytest.raises(UserError, match=r"eac\.weights\.mouth > 0 needs renderer="):
        EACModule(EACConfig(), encoder)
    with pytest.raises(UserError, match=r"eac\.weights\.emotion > 0 needs emotion_critic="):
        EACModule(EACConfig(), encoder, face(32))
    with pytest.raises(UserError, match=r"ame\.text\.encoding 'clip' needs clip="):
        AMEModule(AMEConfig())
    with pytest.raises(UserError, match=r"hef\.resolution is 16, renderer= draws 32 px"):
        HEFModule(hef_world.tiny_config(), encoder, face(32))
    with pytest.raises(UserError, match=r"EACConfig: .*stpes"):
        EACModule({"stpes": 3}, encoder)


@pytest.mark.parametrize("setting", SETTINGS[:2], ids=lambda setting: setting.view)
def test_loaders_alone_are_not_enough_where_the_data_sets_a_scale(config: DataConfig, setting: Setting) -> None:
    loader = setting.data(config).train_dataloader()
    with pytest.raises(UserError, match="fit with datamodule="):
        trainer(1, limit_val_batches=0).fit(setting.make(), loader)


def test_plain_dictionaries_are_configs() -> None:
    plain = {"backbone": {"width": 32}, "weights": {"mouth": 0.0, "emotion": 0.0}}
    module = EACModule(plain, OwnEncoder())
    assert module.config == EACConfig(BackboneConfig(width=32), EACWeights(mouth=0.0, emotion=0.0))


def test_only_refused_styles_count_as_refused(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    data, own = SETTINGS[1].data(config), trainer(1)

    def broken(self: MEADDataModule, clip: Any) -> None:
        raise UserError("store: frames.bin is damaged")

    monkeypatch.setattr(MEADDataModule, "clip_item", broken)
    with pytest.raises(UserError, match="is damaged"):
        own.test(eac(), datamodule=data, verbose=False)


def test_samples_of_eac_are_renders_of_prediction_and_truth(config: DataConfig) -> None:
    (loader,) = SETTINGS[1].data(config).val_dataloader()
    item = next(iter(loader))
    samples = eac().samples(item)
    assert samples is not None
    assert list(samples) == ["prediction", "truth"]
    assert all(pictures.shape == (12, 3, 32, 32) for pictures in samples.values())
    assert not torch.equal(samples["prediction"], samples["truth"])
    assert ame().samples(item) is None
