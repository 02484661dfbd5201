"""How a player shows a decoded image: turned and mirrored by its display matrix, stretched by its pixels' shape."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideDataContainer
from jaxtyping import UInt8

MOST_STRETCH = 10
"""A pixel that is longer than this many times its width, or wider, is a damaged header's."""

OFF_AXIS = 0.02
"""A display matrix that turns by other than quarter turns has more than this share in its other elements."""


@dataclass(frozen=True)
class Display:
    """What is done to a decoded image: stretched, then transposed, then mirrored."""

    transposed: bool = False
    mirrored: bool = False
    """Left to right."""
    flipped: bool = False
    """Upside down."""
    stretch: Fraction = Fraction(1)
    """Width of a stored pixel over its height."""

    @property
    def plain(self) -> bool:
        """Whether the stored image is shown as it is."""
        return self == Display()

    def stretched(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the stored image in square pixels, not turned yet."""
        return max(round(width * self.stretch), 1), height

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the shown image."""
        wide, high = self.stretched(width, height)
        return (high, wide) if self.transposed else (wide, high)

    def upright(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h2 w2 c"]:
        """Pixels in the order in which they are shown."""
        turned = pixels.transpose(1, 0, 2) if self.transposed else pixels
        turned = turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(turned)


def display_of(frame: VideoFrame, pixel_aspect: Fraction | None) -> Display:
    """The display of a frame; ValueError where no player could follow its header.

    Side data holds FFmpeg's 3 x 3 display matrix (a b u; c d v; x y w), by which a pixel (x, y) is shown at
    (a x + c y, b x + d y) but for a shift.
    """
    stretch = pixel_aspect or Fraction(1)
    if not Fraction(1, MOST_STRETCH) <= stretch <= MOST_STRETCH:
        raise ValueError(f"its pixels are {stretch} times as wide as high")
    # Not `frame.side_data`: the frame keeps that object, and it keeps the frame, so that the pixels of hundreds of
    # frames wait for Python's search for cycles.
    side_data = SideDataContainer(frame).get("DISPLAYMATRIX")  # pyright: ignore[reportCallIssue]
    if side_data is None:
        return Display(stretch=stretch)
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    along, across = abs(a) + abs(d), abs(b) + abs(c)
    if not along + across:
        return Display(stretch=stretch)
    if min(along, across) > OFF_AXIS * max(along, across):
        raise ValueError("its display matrix turns it by other than quarter turns")
    transposed = across > along
    return Display(
        transposed, mirrored=(c if transposed else a) < 0, flipped=(b if transposed else d) < 0, stretch=stretch
    )
