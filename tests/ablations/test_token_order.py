"""Figure 8's order of intensity is the one that AME's evaluation measures."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from loops import clip_item, metrics_of

from ablations.figures.token_clusters import orders
from conventions.emotions import STYLES
from datamodules.mead import ClipItem
from lightning_modules.ame.config import AMEConfig, AudioConfig, TextConfig
from lightning_modules.ame.module import AMEModule

CONFIG = AMEConfig(text=TextConfig("onehot"), audio=AudioConfig(width=32, heads=2, layers=1))


class Data:
    """Clips of noise, one of each style."""

    resolution = 16
    store = SimpleNamespace(hash="a store")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        mels = [torch.rand(40, 80, generator=generator) * -60 for _ in STYLES]
        self.clips = [
            clip_item(style.emotion, style.level, num_frames=10, voice=mel)
            for style, mel in zip(STYLES, mels, strict=True)
        ]

    def test_clips(self, kind: str) -> list[ClipItem]:
        return self.clips

    def clip_item(self, clip: ClipItem) -> ClipItem:
        return clip


def test_figure_8_shows_the_order_that_the_evaluation_measures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, data = AMEModule(CONFIG), Data()
    measured = metrics_of(module, data.clips)
    found = orders(module.encoder.eval(), data, CONFIG.evaluation_frames, tmp_path)
    assert set(found) == {"text", "audio"}
    for name, order in found.items():
        assert order.correlation == pytest.approx(measured[f"intensity_spearman/{name}"], abs=1e-6)
    assert found["audio"].level.tolist() == [0 if s.emotion == "neutral" else s.level for s in STYLES]
    assert len(list(tmp_path.iterdir())) == 1
