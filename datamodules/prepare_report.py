"""What a preparation did, for a program and for a reader."""

from dataclasses import asdict, dataclass
from typing import Any


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
    coefficient_model: str | None
    hash: str
    prepared: int
    """Clips prepared by this call; the others were there already."""
    seconds: float
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
            lines.append("work: " + ", ".join(f"{name} {s:.1f} s" for name, s in self.stage_seconds.items()))
        lines += [f"left out: {item['path']}: {item['reason']}: {item['detail']}" for item in self.details[:20]]
        if len(self.details) > 20:
            lines.append(f"left out in all: {self.left_out}")
        return "\n".join(lines)
