"""EAC with any speech feature: it is as wide as the store's feature, and its checkpoints carry which one it is."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loops import quiet_trainer
from small_stages import EAC, encoder
from toy_store import write_store

from conventions.errors import UserError
from datamodules.config import SpeechForm
from datamodules.mead import MEADDataModule
from datamodules.speech_store import add_speech
from lightning_modules.eac.config import EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.eac.network import speech_form_of

OWN = """
import numpy as np

class Powers:
    shape, look_ahead, look_behind = (6,), 0, 0

    def __call__(self, waveform, num_frames):
        frames = waveform[: num_frames * 640].reshape(num_frames, 640)
        return np.stack([np.abs(frames).mean(1) ** power for power in range(1, 7)], axis=1)
"""


@pytest.mark.parametrize("speech", ["mfcc", "mel", "own_powers:Powers"])
def test_eac_trains_on_each_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: str) -> None:
    (tmp_path / "own_powers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    config = replace(write_store(tmp_path), speech=speech)
    add_speech(Path(config.store), speech)
    data = MEADDataModule(config, "eac", 4)
    plain = replace(EAC, weights=EACWeights(mouth=0.0, emotion=0.0), speech=data.speech_form)
    module = EACModule(plain, encoder())
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = EACModule.load_from_checkpoint(tmp_path / "own.ckpt").eval()
    assert again.config.speech == data.speech_form
    assert speech_form_of(module.state_dict(), speech) == data.speech_form
    item = data.clip_item(data.test_clips()[0])
    code = again.encoder.encode_text(["happy"])
    made = again.predict_speech(item.speech, code, item.coefficients[:1, :80])
    assert torch.isfinite(made).all()
    assert torch.equal(made, module.eval().predict_speech(item.speech, code, item.coefficients[:1, :80]))


def test_a_network_of_another_feature_is_one_line(tmp_path: Path) -> None:
    data = MEADDataModule(replace(write_store(tmp_path), speech="mel"), "eac", 4)
    module = EACModule(EACConfig(weights=EACWeights(mouth=0.0, emotion=0.0)), encoder())
    with pytest.raises(
        UserError, match=r"built for the speech feature 'mfcc' \[28, 13\], the data hold 'mel' \[4, 80\]"
    ):
        quiet_trainer(max_steps=1).fit(module, datamodule=data)


def test_checkpoints_without_a_feature_are_those_of_mfcc() -> None:
    assert EACConfig().speech == SpeechForm("mfcc", (28, 13))
    module = EACModule(EACConfig(weights=EACWeights(mouth=0.0, emotion=0.0)), encoder())
    assert speech_form_of(module.state_dict(), "mfcc") == SpeechForm()
