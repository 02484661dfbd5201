"""An emotion that changes while the face talks."""

import hef_world as world
import pytest
import torch

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from emospace.talking.emotion import PASSAGE_SECONDS, Cue, EmotionTrack, parse_schedule
from lightning_modules.ame.emotion import EmotionCode


class Encoder(world.HashEncoder):
    """Reads intensity off a code, as the mixing of emotions needs."""

    def code(self, vector):
        return EmotionCode(vector, torch.zeros(len(vector), 64), vector[:, 0])


def track(*cues: Cue) -> EmotionTrack:
    return EmotionTrack(Encoder(), cues)


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("very happy", [Cue(0.0, "very happy")]),
        ("0:calm 3.2:very happy 6:sad", [Cue(0.0, "calm"), Cue(3.2, "very happy"), Cue(6.0, "sad")]),
        ("0:calm", [Cue(0.0, "calm")]),
        ("happy at 3:15", [Cue(0.0, "happy at 3:15")]),
        ("  0:a face that smiles 2:faces/sad.png ", [Cue(0.0, "a face that smiles"), Cue(2.0, "faces/sad.png")]),
    ],
)
def test_what_is_a_schedule(text: str, cues: list[Cue]) -> None:
    assert parse_schedule(text) == cues


@pytest.mark.parametrize(
    ("text", "line"), [("1:calm", "begins at 1 s"), ("0:calm 3:sad 3:happy", "does not come after")]
)
def test_what_is_none(text: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        parse_schedule(text)


def test_one_emotion_passes_smoothly_into_the_next() -> None:
    made = track(Cue(0.0, "calm"), Cue(2.0, "sad"), Cue(5.0, "happy"))
    pure = [track(Cue(0.0, name)).at(0.0).vector for name in ("calm", "sad", "happy")]
    vectors = made.frames(0, 7 * VIDEO_FPS).vector
    half = round(PASSAGE_SECONDS / 2 * VIDEO_FPS) + 1
    for second, vector in zip((0, 2, 5), pure, strict=True):
        begin = second * VIDEO_FPS + (half if second else 0)
        torch.testing.assert_close(vectors[begin : begin + VIDEO_FPS], vector.expand(VIDEO_FPS, -1))
    steps = (vectors[1:] - vectors[:-1]).norm(dim=1)
    assert float(steps.max()) < 0.35 * float((pure[0] - pure[1]).norm()), "no jump"
    middle = vectors[2 * VIDEO_FPS]
    assert float((middle - pure[0]).norm() - (middle - pure[1]).norm()) == pytest.approx(0, abs=0.2)


def test_pieces_make_no_difference() -> None:
    made = track(Cue(0.0, "calm"), Cue(1.03, "sad"), Cue(1.9, "happy"))
    whole = made.frames(0, 90)
    for size in (1, 2, 7):
        parts = [made.frames(start, min(size, 90 - start)).vector for start in range(0, 90, size)]
        torch.testing.assert_close(torch.cat(parts), whole.vector, rtol=0, atol=0)


def test_one_emotion_is_one_run() -> None:
    assert [count for count, _ in track(Cue(0.0, "calm")).spans(5, 1000)] == [1000]
