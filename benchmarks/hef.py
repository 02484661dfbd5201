"""HEF's cost by preset: parameters, FLOP (2 x MAC) by sub-module, milliseconds and memory; beside published figures.

python benchmarks/hef.py                         counts of every preset (no arithmetic is done)
python benchmarks/hef.py --time toy --threads 2  also times a driven frame and a training step on this machine
python benchmarks/hef.py --time paper --device cuda --dtype bfloat16 --compile
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.discriminator import Discriminator
from lightning_modules.hef.generator import Generator, SourceCode

PRESETS = {"toy": HEFConfig.toy, "small": HEFConfig.small, "paper": HEFConfig.paper}

PUBLISHED = (
    ("PIRenderer", 256, 123.0, 22.5),
    ("facevid2vid (SadTalker, EAT)", 256, 1203.0, 143.0),
    ("LivePortrait", 512, 1300.0, None),
)
"""(name, size, GFLOP a frame, million parameters), counted on their public code."""


def frame_inputs(config: HEFConfig, batch: int, device: str) -> tuple[Tensor, ...]:
    size = config.resolution
    channels = (3, 4, 4, 3)
    pictures = [torch.zeros(batch, c, size, size, device=device) for c in channels]
    return (*pictures, torch.zeros(batch, 512, device=device), torch.zeros(batch, 64, device=device))


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def gigaflop(function: Callable[[], object]) -> tuple[float, dict[str, float]]:
    """Of the call, and of the generator's sub-modules within it."""
    with FlopCounterMode(display=False) as counter:
        function()
    counts = counter.get_flop_counts()
    parts = {
        name.removeprefix("Generator."): sum(values.values()) / 1e9
        for name, values in counts.items()
        if name.startswith("Generator.") and name.count(".") == 1
    }
    return counter.get_total_flops() / 1e9, parts


def count(name: str) -> None:
    config = PRESETS[name]()
    with torch.device("meta"):
        net, judge = Generator(config), Discriminator(config)
    image, source_geometry, geometry, motion, emotion, token = frame_inputs(config, 1, "meta")
    source, _ = gigaflop(lambda: net.encode_source(image, source_geometry))
    total, parts = gigaflop(lambda: net(image, source_geometry, geometry, motion, emotion, token))
    judged, _ = gigaflop(lambda: judge(image, geometry, emotion))
    print(f"\n{name}: {config.resolution} px, channels {config.channels}")
    print(f"  driven frame      {total - source:8.2f} GFLOP")
    print(f"  source, once      {source:8.2f} GFLOP")
    print(f"  generator         {millions(net):8.2f} M parameters")
    for part, module in net.named_children():
        print(f"    {part:16s}{millions(module):8.2f} M {parts.get(part, 0.0):8.2f} GFLOP")
    print(f"  discriminator     {millions(judge):8.2f} M {judged:8.2f} GFLOP")


def milliseconds(function: Callable[[], object], device: str, repeats: int) -> float:
    """Median of a call after warm-up."""
    times = []
    for index in range(repeats + 3):
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        if index >= 3:
            times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[len(times) // 2]


def convolution_peak(device: str, dtype: torch.dtype) -> float:
    """GFLOP/s of the best plain 3 x 3 convolution among some square shapes."""
    best = 0.0
    for channels, size in ((32, 64), (64, 64), (128, 32), (256, 32)):
        layer = nn.Conv2d(channels, channels, 3, padding=1).to(device, dtype, memory_format=torch.channels_last)
        x = torch.randn(8, channels, size, size, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        with torch.no_grad():
            ms = milliseconds(lambda layer=layer, x=x: layer(x), device, 20)
        best = max(best, 8 * 2 * 9 * channels**2 * size**2 / ms / 1e6)
    return best


def time_frame(config: HEFConfig, batch: int, arguments: argparse.Namespace) -> None:
    """Milliseconds of `drive` with the source encoded before."""
    device, dtype = arguments.device, getattr(torch, arguments.dtype)
    net = Generator(config).to(device, memory_format=torch.channels_last).eval()
    image, source_geometry, *rest = frame_inputs(config, batch, device)
    drive = torch.compile(net.drive, mode="max-autotune") if arguments.compile else net.drive
    with torch.no_grad(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
        source: SourceCode = net.encode_source(image, source_geometry)
        ms = milliseconds(lambda: drive(source, *rest), device, arguments.repeats)
    print(f"  drive, batch {batch:3d}: {ms:8.2f} ms = {1000 * batch / ms:8.1f} frames/s")


def time_step(config: HEFConfig, arguments: argparse.Namespace) -> None:
    """Milliseconds of forward and backward of generator and discriminator, and their share of the peak."""
    device, dtype = arguments.device, getattr(torch, arguments.dtype)
    batch = arguments.batch or config.batch_size
    net, judge = (kind(config).to(device, memory_format=torch.channels_last) for kind in (Generator, Discriminator))
    inputs = frame_inputs(config, batch, device)

    def step() -> None:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            made = net(*inputs).image
            (made.square().mean() - judge(made, inputs[2], inputs[4]).mean()).backward()
            fake = judge(made.detach(), inputs[2], inputs[4])
            (fake.mean() - judge(inputs[0], inputs[2], inputs[4]).mean()).backward()

    flop, _ = gigaflop(step)
    ms, peak = milliseconds(step, device, arguments.repeats), convolution_peak(device, dtype)
    speed = flop / ms * 1e3
    print(f"  training step, batch {batch}: {ms:.1f} ms, {flop:.1f} GFLOP = {speed:.0f} GFLOP/s")
    print(f"  best plain convolution: {peak:.0f} GFLOP/s; share {100 * speed / peak:.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", choices=PRESETS, help="preset to time")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, help="batch of the training step; default: the preset's")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.time:
        config = PRESETS[arguments.time]()
        print(f"{arguments.time} on {arguments.device}, {arguments.dtype}, {arguments.threads} threads")
        for batch in (1, 8):
            time_frame(config, batch, arguments)
        time_step(config, arguments)
        if arguments.device == "cuda":
            print(f"  peak memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
        return
    for name in PRESETS:
        count(name)
    print("\npublished, per frame:")
    for name, size, flop, parameters in PUBLISHED:
        print(f"  {name:30s} {size} px {flop:7.0f} GFLOP  {f'{parameters:.1f} M' if parameters else 'not counted'}")


if __name__ == "__main__":
    main()
