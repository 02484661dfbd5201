"""Where the time of a preparation goes, and what it did, for a program and for a reader."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from datamodules.records import FAILURES, REASONS

T = TypeVar("T")


@dataclass
class Clock:
    """Seconds by stage of the work. Blocks do not nest: each second counts once."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the block's time to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add({stage: time.perf_counter() - began})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count another clock's seconds."""
        for stage, more in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + more

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The items; the time that it takes to come by each counts to a stage."""
        iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


SHOWN = 20
"""Lines of one kind in the text of a report."""


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


@dataclass
class Spent:
    """What a preparation has spent since this was made."""

    clock: Clock = field(default_factory=Clock)
    """Seconds of work by stage, over all workers."""
    _began: float = field(default_factory=time.monotonic)
    _cpu_began: float = field(default_factory=_cpu)

    @property
    def elapsed(self) -> float:
        """Seconds by the clock."""
        return time.monotonic() - self._began

    def so_far(self) -> dict[str, Any]:
        """Fields of a `PrepareReport`."""
        stages = {stage: round(seconds, 3) for stage, seconds in self.clock.seconds.items()}
        wall, cpu = self.elapsed, _cpu() - self._cpu_began
        return {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "stage_seconds": stages}


@dataclass(frozen=True)
class Done:
    """How far a preparation has come."""

    clips: int
    total: int
    """Clips that this call has to prepare."""
    frames: int
    seconds: float
    """By the clock, since the call began."""
    stage_seconds: dict[str, float]
    """Seconds of work by stage, summed over the workers."""

    def as_dict(self) -> dict[str, Any]:
        """The same with rates and the time left, as plain JSON."""
        rate = self.clips / max(self.seconds, 1e-6)
        rates = {"clips_per_second": rate, "frames_per_second": self.frames / max(self.seconds, 1e-6)}
        return {**asdict(self), **rates, "seconds_left": (self.total - self.clips) / rate}

    def text(self) -> str:
        """`; 0.24 clips/s, 21 frames/s, 95 s left; decode 40 %, crop 60 %`."""
        values = self.as_dict()
        rates = f"{values['clips_per_second']:.2f} clips/s, {values['frames_per_second']:.0f} frames/s"
        return f"; {rates}, {values['seconds_left']:.0f} s left; {shares(self.stage_seconds)}"


def suffixes(unhandled: Mapping[str, int]) -> str:
    """`12 .txt, 3 without a suffix`."""
    return ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in unhandled.items())


def shares(stage_seconds: Mapping[str, float]) -> str:
    """`decode 40 %, crop 35 %, audio 25 %`: the split of the work by stage."""
    total = sum(stage_seconds.values()) or 1.0
    return ", ".join(f"{stage} {seconds / total:.0%}".replace("%", " %") for stage, seconds in stage_seconds.items())


@dataclass(frozen=True)
class PrepareReport:
    """What a preparation did."""

    store: str
    clips: int
    frames: int
    left_out: dict[str, int]
    """Number of clips by reason."""
    details: list[dict[str, str]]
    """Path, reason and detail of each file left out."""
    notes: dict[str, list[str]]
    """What had to be mended in the files of a clip, by clip."""
    unhandled: dict[str, int]
    """Number of files by suffix that nothing reads."""
    coefficient_model: str | None
    hash: str
    prepared: int
    """Clips prepared by this call; the others were there already."""
    seconds: float
    cpu_seconds: float
    """CPU time of this process and its workers."""
    stage_seconds: dict[str, float]
    """Seconds of work by stage, summed over the workers."""

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return asdict(self)

    def text(self) -> str:
        """The report as lines for a reader."""
        rate = f", {self.prepared / self.seconds:.2f} clips/s" if self.prepared and self.seconds else ""
        lines = [
            f"{self.store}: {self.clips} clips, {self.frames} frames, "
            f"coefficients of {self.coefficient_model or 'no model'}, hash {self.hash[:12]}",
            f"prepared now: {self.prepared} in {self.seconds:.1f} s{rate}",
        ]
        if self.stage_seconds:
            work = sum(self.stage_seconds.values())
            cores = self.cpu_seconds / self.seconds if self.seconds else 0.0
            lines.append(f"work: {work:.1f} s ({shares(self.stage_seconds)}), {cores:.1f} cores busy")
        if failed := sum(self.left_out.get(reason, 0) for reason in FAILURES):
            lines.append(f"{failed} clips timed out, crashed or failed; --again tries them once more")
        for item in self.details[:SHOWN]:
            lines.append(f"left out: {item['path']}: {item['reason']}: {item['detail'] or REASONS[item['reason']]}")
        if len(self.details) > SHOWN:
            lines.append(f"left out in all: {self.left_out}")
        noted = [line for notes in self.notes.values() for line in notes]
        lines += [f"repaired: {line}" for line in noted[:SHOWN]]
        if len(noted) > SHOWN:
            lines.append(f"repaired in all: {len(self.notes)} clips")
        if self.unhandled:
            lines.append(f"not read: {suffixes(self.unhandled)}")
        return "\n".join(line.replace("\n", "\\n") for line in lines)
