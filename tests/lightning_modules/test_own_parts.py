"""Parts from outside of the repository, named in a config by import path; and checkpoint files of any content."""

import io
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import hef_world
import pytest
import torch
from loops import quiet_trainer
from small_stages import AME, EAC, HEF, SETTINGS, clip, critics, encoder, face
from toy_store import write_store

from conventions.errors import UserError
from datamodules.config import DataConfig
from lightning_modules.ame.config import TextConfig
from lightning_modules.ame.emotion import RefusedStyle
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.config import BackboneConfig, EACConfig
from lightning_modules.eac.module import EACModule
from lightning_modules.eac.network import predict_long, stream
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.module import HEFModule
from lightning_modules.training.checkpoints import read_checkpoint
from lightning_modules.training.stage import StageModule

OWN = '''
import torch
from torch import nn

from lightning_modules.ame.emotion import EMOTION_DIM, RefusedStyle
from lightning_modules.ame.sources import TextSource


class Bidirectional(nn.Module):
    """A backbone that needs the whole speech."""

    def __init__(self, config):
        super().__init__()
        self.recurrence = nn.GRU(config.width, config.width // 2, bidirectional=True, batch_first=True)

    def forward(self, inputs, mask):
        return self.recurrence(inputs * mask[..., None])[0]


def stillness(predicted, batch):
    return predicted.diff(dim=1).square().mean()


class Brightness:
    def __call__(self, image, batch):
        return (image.mean() - batch.target.mean()).square()


class Letters(TextSource):
    """The count of each letter, projected."""

    open_vocabulary = False

    def __init__(self, config):
        super().__init__()
        self.project = nn.Linear(26, EMOTION_DIM)

    @property
    def device(self):
        return self.project.weight.device

    def forward(self, texts):
        if any("awed" in text for text in texts):
            raise RefusedStyle("emotion: no awe in letters")
        counts = torch.tensor([[float(text.lower().count(chr(97 + i))) for i in range(26)] for text in texts])
        return nn.functional.normalize(self.project(counts.to(self.device)), dim=-1)
'''


@pytest.fixture(autouse=True)
def own_package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("package")
    (folder / "my_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return write_store(tmp_path_factory.mktemp("own"), unseen=("awed",))


def trained(module: StageModule, config: DataConfig, view: int, tmp_path: Path) -> dict[str, torch.Tensor]:
    """What two batches, a validation and a test log; the checkpoint loads without anything else."""
    data = SETTINGS[view].data(config)
    trainer = quiet_trainer(max_steps=2, val_check_interval=2, check_val_every_n_epoch=None)
    trainer.fit(module, datamodule=data)
    logged = dict(trainer.callback_metrics)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = type(module).load_from_checkpoint(tmp_path / "own.ckpt")
    for name, weight in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    trainer.test(again, datamodule=data, verbose=False)
    return {**logged, **trainer.callback_metrics}


def test_a_backbone_of_ones_own_that_does_not_stream(config: DataConfig, tmp_path: Path) -> None:
    backbone = replace(EAC.backbone, kind="my_parts:Bidirectional")
    module = EACModule(replace(EAC, backbone=backbone), encoder(), face(32), critics().face_emotion)
    logged = trained(module, config, 1, tmp_path)
    assert logged["test/coefficient_error"].isfinite()
    network, mfcc = module.network.eval(), torch.randn(60, 28, 13)
    code, identity = encoder().encode_text(["happy"]), torch.zeros(1, 80)
    with torch.no_grad():
        whole = network(mfcc[None], torch.ones(1, 60, dtype=torch.bool), code, identity)[0]
    assert torch.equal(predict_long(network, mfcc, code, identity, chunk_frames=7), whole)
    assert torch.equal(torch.cat(list(stream(network, mfcc.split(9), code, identity))), whole)
    assert len(list(stream(network, mfcc.split(9), code, identity))) == 1


def test_losses_of_ones_own_are_logged_and_weighted(config: DataConfig, tmp_path: Path) -> None:
    own = replace(EAC, extra_losses=("my_parts:stillness=100",))
    module = EACModule(own, encoder(), face(32), critics().face_emotion)
    logged = trained(module, config, 1, tmp_path)
    assert logged["train/stillness"] > 0
    losses = {"coefficients": torch.tensor(1.0), "stillness": torch.tensor(0.5)}
    assert module.total(losses) == own.weights.coefficients + 50

    hef = HEFModule(replace(HEF, extra_losses=("my_parts:Brightness=3",)), encoder(), face(16))
    logged = trained(hef, config, 2, tmp_path)
    assert logged["train/Brightness"] >= 0
    part = hef.parts(next(iter(hef_world.Pairs())))[0]
    plain = HEFModule(HEF, encoder(), face(16))
    plain.load_state_dict(hef.state_dict())
    plain.current_batch = hef.current_batch
    torch.manual_seed(0)
    with_own, _, terms = hef.generator_loss(part)
    assert with_own.item() == pytest.approx((plain.generator_loss(part)[0] + 3 * terms["Brightness"]).item(), rel=1e-5)


def test_an_emotion_encoding_of_ones_own(config: DataConfig, tmp_path: Path) -> None:
    module = AMEModule(replace(AME, text=TextConfig("my_parts:Letters")), clip())
    before = module.encoder.text.project.weight.detach().clone()  # pyright: ignore
    trained(module, config, 0, tmp_path)
    assert not torch.equal(module.encoder.text.project.weight, before)  # pyright: ignore
    with pytest.raises(RefusedStyle):
        module.encoder.encode_text(["awed"])
    child = EACModule(EAC, module.encoder, face(32), critics().face_emotion)
    assert trained(child, config, 1, tmp_path)["test/unseen/refused"] == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BackboneConfig(kind="transfomer"), "EAC backbone 'transfomer' is unknown; did you mean 'transformer'"),
        (lambda: TextConfig(encoding="clop"), "emotion encoding 'clop' is unknown; did you mean 'clip'"),
        (lambda: HEFConfig(text_encoding="clop"), "emotion encoding 'clop' is unknown"),
        (lambda: EACConfig(extra_losses=("my_parts:stillness",)), "must be module:function=weight"),
        (lambda: HEFConfig(extra_losses=("my_parts:stillness=much",)), "must be module:function=weight"),
        (
            lambda: HEFModule(replace(HEF, extra_losses=("my_parts:x=1",)), encoder(), face(16)),
            "loss 'my_parts:x'",
        ),
    ],
)
def test_wrong_names_are_one_clear_line(make, words: str) -> None:
    with pytest.raises((UserError, ValueError), match=words) as error:
        make()
    assert "\n" not in str(error.value)


class Executable:
    """Pickled so that loading it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_content_of_other_kinds_is_one_line(tmp_path: Path) -> None:
    file, trace = tmp_path / "last.ckpt", tmp_path / "trace"
    good = saved({"state_dict": {"a": torch.zeros(3)}})
    kinds = [b"", b"{}", json.dumps({"a": 1}).encode("utf-16"), pickle.dumps([1]), good[:100], good[:-30], saved([1])]
    for content in [*kinds, pickle.dumps(Executable(trace)), saved(Executable(trace)), saved({"a": Executable(trace)})]:
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"last\.ckpt") as error:
            read_checkpoint(file)
        assert "\n" not in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize("seed", range(100))
def test_damaged_bytes_are_read_or_one_line(tmp_path: Path, seed: int) -> None:
    file, dice = tmp_path / "last.ckpt", random.Random(seed)
    content = bytearray(saved({"state_dict": {"a": torch.zeros(3)}, "global_step": 3}))
    for _ in range(dice.randrange(1, 30)):
        content[dice.randrange(len(content))] = dice.randrange(256)
    file.write_bytes(bytes(content))
    message = ""
    try:
        assert isinstance(read_checkpoint(file), dict)
    except UserError as error:
        message = str(error)
    assert "\n" not in message
