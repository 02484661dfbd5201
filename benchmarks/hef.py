"""HEF on a machine: frames a second, and a training step's share of the best plain convolution of its own shapes.

python -m benchmarks.hef toy --threads 2
python -m benchmarks.hef paper --device cuda --dtype bfloat16 --compile

`emospace bench` counts parameters, FLOP and memory by sub-module.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from emospace.bench.measure import gigaflop, milliseconds
from emospace.bench.subjects import EXPERIMENTS, frame_inputs, preset_config
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.discriminator import Discriminator
from lightning_modules.hef.generator import Generator, SourceCode
from lightning_modules.training.memory import keep_freed_memory


class Convolutions(TorchDispatchMode):
    """Collects (input shape, weight shape, padding) of every convolution of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[tuple[int, ...], tuple[int, ...], int]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.shapes.add((tuple(args[0].shape), tuple(args[1].shape), args[4][0]))
        return func(*args, **(kwargs or {}))


def convolutions(config: HEFConfig, batch: int) -> Convolutions:
    """Those of both networks' forward passes; nothing is computed."""
    with torch.device("meta"):
        net, judge = Generator(config), Discriminator(config)
    inputs = frame_inputs(config, batch, "meta")
    with Convolutions() as found:
        judge(net(*inputs).image, inputs[2], inputs[4])
    return found


def best_convolution(
    config: HEFConfig, batch: int, device: str, dtype: torch.dtype, repeats: int
) -> tuple[float, Callable[[], Tensor]]:
    """The quickest plain convolution among the shapes that the step has: its GFLOP, and the call."""
    best, found = 0.0, None
    for shape, weights, padding in convolutions(config, batch).shapes:
        x, weight = (
            torch.randn(size, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for size in (shape, weights)
        )
        call = torch.no_grad()(partial(F.conv2d, x, weight, padding=padding))
        flop = gigaflop(call).total
        speed = flop / milliseconds(call, device, repeats=repeats).total
        if speed > best:
            best, found = speed, (flop, call)
    assert found is not None
    return found


def time_frame(config: HEFConfig, batch: int, arguments: argparse.Namespace) -> None:
    """Milliseconds of `drive` with the source encoded before."""
    device, dtype = arguments.device, getattr(torch, arguments.dtype)
    net = Generator(config).to(device=device, memory_format=torch.channels_last).eval()
    image, source_geometry, *rest = frame_inputs(config, batch, device)
    drive = torch.compile(net.drive, mode="max-autotune") if arguments.compile else net.drive
    with torch.no_grad(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
        source: SourceCode = net.encode_source(image, source_geometry)
        ms = milliseconds(lambda: drive(source, *rest), device, repeats=arguments.repeats).total
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

    flop = gigaflop(step).total
    of_one, convolve = best_convolution(config, batch, device, dtype, arguments.repeats)
    rounds = []
    for _ in range(arguments.repeats):  # by turns, so that both meet the same machine
        ms = milliseconds(step, device, repeats=1, warm_up=1).total
        rounds.append((ms, flop / ms * 1e3, of_one / milliseconds(convolve, device, repeats=20).total * 1e3))
    ms, speed, peak = map(median, zip(*rounds, strict=True))
    share = median(own / best for _, own, best in rounds)
    print(f"  training step, batch {batch}: {ms:.1f} ms, {flop:.1f} GFLOP = {speed:.0f} GFLOP/s")
    print(f"  best plain convolution of its shapes: {peak:.0f} GFLOP/s; share {100 * share:.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=EXPERIMENTS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, help="batch of the training step; default: the preset's")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as training on the CPU does
    config = preset_config(arguments.preset).hef
    print(f"{arguments.preset} on {arguments.device}, {arguments.dtype}, {arguments.threads} threads")
    for batch in (1, 8):
        time_frame(config, batch, arguments)
    time_step(config, arguments)
    if arguments.device == "cuda":
        print(f"  peak memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
