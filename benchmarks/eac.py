"""EAC's cost: speed of speech to expression at the paper's and the toy sizes, its growth, and what L_emo adds.

python -m benchmarks.eac                     weights, and times real time for 1 s .. 1 min of speech
python -m benchmarks.eac --hour              also a whole hour, and the process's peak memory
python -m benchmarks.eac --loss --threads 2  the toy training step with L_emo against without
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn

from conventions.rates import VIDEO_FPS
from datamodules.batches import EACBatch
from face3d.camera import default_placement
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.eac.backbones import num_parameters
from lightning_modules.eac.config import BackboneConfig, EACConfig
from lightning_modules.eac.module import EACModule
from lightning_modules.eac.network import ExpressionNetwork, predict_long

PRESETS = {"toy": BackboneConfig(), "paper": BackboneConfig(width=256, heads=8, layers=4)}


def code_of(batch: int) -> EmotionCode:
    vector = nn.functional.normalize(torch.ones(batch, 512), dim=-1)
    return EmotionCode(vector, torch.zeros(batch, 64), torch.zeros(batch))


class OneCode(EmotionEncoder):
    """Any text is one emotion."""

    modalities = ("text",)

    def encode_text(self, texts) -> EmotionCode:
        return code_of(len(texts))

    def with_level(self, code, level) -> EmotionCode:
        return EmotionCode(code.vector, code.token, level)


class SmallCritic(nn.Module):
    """An emotion network of the toy critics' order of cost."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, 1, 1), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(32, 48, 3, 2, 1), nn.AdaptiveAvgPool2d(3), nn.Flatten())

    def features(self, images: Tensor) -> Tensor:
        return self.layers(images)


def seconds(function: Callable[[], object], budget: float = 1.0) -> float:
    """Median wall time of calls that follow each other for at least `budget` seconds, after one to warm up."""
    function()
    times = []
    while sum(times) < budget:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)


def real_time(name: str, config: BackboneConfig, lengths: list[int]) -> None:
    network = ExpressionNetwork(config).eval()
    weights = num_parameters(network) / 1e6
    ahead = network.look_ahead / VIDEO_FPS
    print(f"{name} {config.kind}: {weights:.2f} M weights, look-ahead {ahead:.2f} s")
    for length in lengths:
        mfcc = torch.randn(length * VIDEO_FPS, 28, 13)
        taken = seconds(lambda mfcc=mfcc: predict_long(network, mfcc, code_of(1), torch.zeros(1, 80)))
        print(f"  {length:5d} s of speech in {taken:8.3f} s: {length / taken:7.0f} x real time")


def batch_of(size: int, frames: int = 25) -> EACBatch:
    coefficients = torch.zeros(size, frames, 257)
    coefficients[..., 80:144] = 0.2 * torch.rand(size, frames, 64)
    ones = torch.ones(size, dtype=torch.long)
    return EACBatch(
        torch.randn(size, frames, 28, 13),
        torch.ones(size, frames, dtype=torch.bool),
        coefficients,
        default_placement(1).expand(size, frames, 3),
        torch.zeros(size, 3, 64, 64),
        torch.zeros(size, dtype=torch.long),
        torch.zeros(size, 4 * frames, 80),
        ones,
        ones,
        ones,
    )


def loss_cost(repeats: int = 60) -> None:
    """Median time of the step with L_emo and without, by turns, so that both meet the same machine."""
    config = EACConfig()
    renderer, critic = Renderer(load_model("procedural-v1"), 64), SmallCritic()
    times: dict[float, list[float]] = {0.0: [], config.weights.emotion: []}
    modules = {}
    for weight in times:
        chosen = replace(config, weights=replace(config.weights, emotion=weight))
        modules[weight] = EACModule(chosen, OneCode(), renderer, critic)
        modules[weight].log_scalars = lambda *_, **__: None
    batch = batch_of(config.batch_size)
    for _ in range(repeats):
        for weight, module in modules.items():
            start = time.perf_counter()
            module.training_step(batch, 0).backward()
            times[weight].append(time.perf_counter() - start)
    without, with_loss = (median(each[repeats // 6 :]) for each in times.values())
    print(f"training step without L_emo: {1000 * without:.0f} ms, with it: {1000 * with_loss:.0f} ms")
    print(f"L_emo multiplies the step by {with_loss / without:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--loss", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.loss:
        loss_cost()
        return
    for name, config in PRESETS.items():
        for kind in ("transformer", "gru", "mlp"):
            lengths = [1, 10, 60] + ([3600] if options.hour else [])
            real_time(name, replace(config, kind=kind), lengths)
    if options.hour:
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
