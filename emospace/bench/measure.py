"""Figures of `emospace bench` and their instruments: arithmetic, time and memory of a call and of modules within it."""

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from emospace.bench.subjects import COUNTED_ON, PRESETS, Call, Subject, build

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


SECONDS = 8.0
"""Most time that timing one call takes, beyond one call to warm up and one that counts."""

PUBLISHED: Sequence[Mapping[str, Any]] = (
    {"name": "PIRenderer", "size": 256, "gflop": 123.0, "parameters": 22_500_000, "what": "a frame"},
    {
        "name": "facevid2vid, as in SadTalker",
        "size": 256,
        "gflop": 1203.0,
        "parameters": 143_000_000,
        "what": "a frame",
    },
    {"name": "LivePortrait", "size": 512, "gflop": 1300.0, "parameters": None, "what": "a frame, all in all"},
)
"""Other methods at batch 1, counted on their public code; published figures, not measured here."""

Figures = dict[str, Any]


def measure(modules: Sequence[str], presets: Sequence[str], device: str, timed: bool) -> Figures:
    """The document: module -> preset -> figures, how they were taken, and what others published."""
    document: Figures = {module: {} for module in modules}
    for module in modules:
        for preset in (name for name in PRESETS[module] if name in presets):
            counted = build(module, preset, COUNTED_ON[module])
            document[module][preset] = figures(counted, build(module, preset, device) if timed else None, device)
    card = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    taken = {"device": card, "threads": torch.get_num_threads(), "torch": torch.__version__, "timed": timed}
    return {**document, "published": [dict(row) for row in PUBLISHED], "taken": taken}


@torch.no_grad()
def figures(counted: Subject, timed: Subject | None, device: str) -> Figures:
    """One module in one preset: counted on one device, timed on another where it is to be timed."""
    calls = {call.name: _counts(call) for call in counted.calls}
    for call in timed.calls if timed else ():
        took = milliseconds(call.run, device, call.parts, seconds=SECONDS).over(call.units)
        calls[call.name]["ms"] = took.total
        for name, ms in took.parts.items():
            calls[call.name]["parts"][name]["ms"] = ms
    first = next(iter(calls.values()))
    memory = {"weights": num_parameters(counted.network) * 4 / MIB}
    return {
        "size": counted.size,
        "parameters": num_parameters(counted.network),
        "gflop": first["gflop"],
        "unit": first["unit"],
        "ms": {name: call["ms"] for name, call in calls.items()},
        "memory_mib": {**memory, **{name: call["memory_mib"] for name, call in calls.items()}},
        "calls": calls,
    }


def _counts(call: Call) -> Figures:
    call.run()  # what is computed once is computed now
    flop, memory = gigaflop(call.run, call.parts).over(call.units), memory_mib(call.run, call.parts)
    parts = {
        name: {
            "parameters": num_parameters(part),
            "gflop": flop.parts[name],
            "ms": None,
            "memory_mib": memory.parts[name],
        }
        for name, part in call.parts.items()
    }
    return {"unit": call.unit, "gflop": flop.total, "ms": None, "memory_mib": memory.total, "parts": parts}


def lines(document: Figures) -> Iterator[str]:
    """The document as a table for people."""
    taken = document["taken"]
    yield f"{taken['device']}, {taken['threads']} threads, float32, batch 1; FLOP = 2 x MAC; ms: median"
    yield "MiB: tensors of one call alive at once, beyond weights and inputs, without workspaces of kernels"
    if not taken["timed"]:
        yield "nothing was timed (--counts)"
    for module in PRESETS:
        for preset, found in document.get(module, {}).items():
            yield from _subject_lines(module, preset, found)
    yield "\npublished, not measured here:"
    for row in document["published"]:
        million = f"{row['parameters'] / 1e6:.1f} M" if row["parameters"] else "not counted"
        yield f"  {row['name']:<30} {row['size']} px {row['gflop']:6.0f} GFLOP {row['what']}, {million}"


def _subject_lines(module: str, preset: str, found: Figures) -> Iterator[str]:
    million, mib = found["parameters"] / 1e6, found["memory_mib"]["weights"]
    yield f"\n{module} {preset} ({found['size']}): {million:.2f} M parameters, {mib:.0f} MiB of weights"
    yield f"  {'':<46}{'M':>8}{'GFLOP':>10}{'ms':>10}{'MiB':>8}"
    for call in found["calls"].values():
        yield _line(call["unit"], None, call)
        for name, part in call["parts"].items():
            yield _line(f"  {name}", part["parameters"], part)


def _line(title: str, parameters: int | None, row: Figures) -> str:
    million = "" if parameters is None else f"{parameters / 1e6:.2f}"
    ms = "-" if row["ms"] is None else f"{row['ms']:.2f}"
    return f"  {title:<46}{million:>8}{row['gflop']:>10.4g}{ms:>10}{row['memory_mib']:>8.1f}"
