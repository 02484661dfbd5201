"""The instruments: arithmetic, time and memory of a call, in all and within named modules of it."""

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

GIGA, MIB = 1e9, 2**20


@dataclass(frozen=True)
class Amount:
    """How much of something a call takes: in all, and within each part (summed over the part's calls)."""

    total: float
    parts: Mapping[str, float] = field(default_factory=dict)

    def over(self, units: int) -> "Amount":
        """The same for one of `units` equal things that the call made."""
        return Amount(self.total / units, {name: value / units for name, value in self.parts.items()})


@contextlib.contextmanager
def watched(
    parts: Mapping[str, nn.Module], enter: Callable[[str], None], leave: Callable[[str], None]
) -> Iterator[None]:
    """Call `enter` and `leave` with a part's name before and after each of its forward passes."""
    handles = []
    for name, module in parts.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        handles.append(module.register_forward_hook(lambda *_, name=name: leave(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def spent(parts: Mapping[str, nn.Module], read: Callable[[], float]) -> Iterator[dict[str, float]]:
    """By how much `read()` rises within each part while the block runs."""
    risen, before = dict.fromkeys(parts, 0.0), dict.fromkeys(parts, 0.0)

    def enter(name: str) -> None:
        before[name] = read()

    def leave(name: str) -> None:
        risen[name] += read() - before[name]

    with watched(parts, enter, leave):
        yield risen


def gigaflop(call: Callable[[], object], parts: Mapping[str, nn.Module] | None = None) -> Amount:
    """Arithmetic of a call by torch's counter (2 x MAC); on meta tensors nothing is computed.

    Fused attention of eval mode is switched off meanwhile: the counter does not know it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, spent(parts or {}, counter.get_total_flops) as within:
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return Amount(counter.get_total_flops() / GIGA, {name: value / GIGA for name, value in within.items()})


def milliseconds(
    call: Callable[[], object],
    device: str,
    parts: Mapping[str, nn.Module] | None = None,
    *,
    repeats: int = 10,
    warm_up: int = 3,
    seconds: float = float("inf"),
) -> Amount:
    """Median wall time of a call after warm-up; it stops early after `seconds`, with at least one warm and one timed.

    On a GPU each part is waited for, so that parts add up to somewhat more than the call takes by itself.
    """

    def read() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() * 1e3

    def once(inside: Mapping[str, nn.Module]) -> Amount:
        with spent(inside, read) as within:
            start = read()
            call()
            return Amount(read() - start, dict(within))

    began, rounds, warm = time.monotonic(), list[Amount](), 0
    while warm < warm_up and (warm == 0 or time.monotonic() - began < seconds / 4):
        once({})
        warm += 1
    while len(rounds) < repeats and (not rounds or time.monotonic() - began < seconds):
        rounds.append(once(parts or {}))
    return Amount(
        median(one.total for one in rounds), {name: median(one.parts[name] for one in rounds) for name in parts or {}}
    )


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that a block makes and that are alive at once; workspaces inside kernels are not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor):
                self._meet(given, made=False)
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._meet(made, made=True)
        return result

    def _meet(self, tensor: Tensor, made: bool) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes() if made else 0
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def memory_mib(call: Callable[[], object], parts: Mapping[str, nn.Module] | None = None) -> Amount:
    """Most memory that a call's own tensors take at once, without weights and inputs; a part's is beyond its start."""
    live, before, overall = LiveBytes(), dict[str, int](), [0]
    within = dict.fromkeys(parts or {}, 0.0)

    def enter(name: str) -> None:
        overall[0], before[name], live.peak = max(overall[0], live.peak), live.now, live.now

    def leave(name: str) -> None:
        within[name] = max(within[name], (live.peak - before[name]) / MIB)

    with live, watched(parts or {}, enter, leave):
        call()
    return Amount(max(overall[0], live.peak) / MIB, within)


def num_parameters(module: nn.Module) -> int:
    """Weights of a module, each once."""
    return sum(parameter.numel() for parameter in module.parameters())
