"""Curves as inline SVG: one chart a scalar, one line a run."""

import html
import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 340, 170
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 22
MAX_POINTS = 160
NUM_COLOURS = 8

Curve = Sequence[tuple[float, float]]


def thin(curve: Curve, most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of its neighbours; the last point's step is kept."""
    if len(curve) <= most:
        return list(curve)
    size = math.ceil(len(curve) / most)
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _number(value: float) -> str:
    return f"{value:.3g}"


def chart(title: str, curves: Mapping[str, Curve], colours: Mapping[str, int]) -> str:
    """SVG of several (step, value) curves with their common range; an empty string when nothing is finite."""
    finite = {
        name: thin([(step, value) for step, value in curve if math.isfinite(value)]) for name, curve in curves.items()
    }
    points = [point for curve in finite.values() for point in curve]
    if not points:
        return ""
    (x0, x1), (y0, y1) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
    x_span, y_span = (x1 - x0) or 1.0, (y1 - y0) or 1.0

    def place(step: float, value: float) -> str:
        x = LEFT + (step - x0) / x_span * (WIDTH - LEFT - RIGHT)
        y = TOP + (y1 - value) / y_span * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    lines = "".join(
        f'<polyline class="c{colours[name] % NUM_COLOURS}" points="{" ".join(place(*point) for point in curve)}">'
        f"<title>{html.escape(name)}</title></polyline>"
        for name, curve in finite.items()
        if curve
    )
    floor = HEIGHT - BOTTOM
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)} over steps"><path class="axis" d="M{LEFT},{TOP}V{floor}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 4}" y="{TOP + 8}" class="end">{_number(y1)}</text>'
        f'<text x="{LEFT - 4}" y="{floor}" class="end">{_number(y0)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{_number(x0)}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" class="end">step {int(x1)}</text>{lines}</svg></figure>'
    )
