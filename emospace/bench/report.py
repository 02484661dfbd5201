"""The figures of `emospace bench`: as the JSON document that scripts read, and as lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from emospace.bench.measure import MIB, gigaflop, memory_mib, milliseconds, num_parameters
from emospace.bench.subjects import COUNTED_ON, PRESETS, Call, Subject, build

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
    taken = {"device": _name(device), "threads": torch.get_num_threads(), "torch": torch.__version__, "timed": timed}
    return {**document, "published": [dict(row) for row in PUBLISHED], "taken": taken}


@torch.no_grad()
def figures(counted: Subject, timed: Subject | None, device: str) -> Figures:
    """One module in one preset: counted on one device, timed on another where it is to be timed."""
    calls = {call.name: _counts(call) for call in counted.calls}
    for call in timed.calls if timed else ():
        _add_time(calls[call.name], call, device)
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


def _add_time(counts: Figures, call: Call, device: str) -> None:
    took = milliseconds(call.run, device, call.parts, seconds=SECONDS).over(call.units)
    counts["ms"] = took.total
    for name, ms in took.parts.items():
        counts["parts"][name]["ms"] = ms


def _name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


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
