"""What a user may give as an emotion, and what is refused; emotions that change while the face talks."""

from pathlib import Path

import hef_world as world
import numpy as np
import pytest
import torch
from PIL import Image

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from datamodules.audio import write_audio
from emospace.talking.emotion import (
    PASSAGE_SECONDS,
    Cue,
    EmotionTrack,
    emotion_code,
    modality_of,
    parse_schedule,
    parts_of,
    unknown_words,
)
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder


class Recorder(EmotionEncoder):
    """Remembers what reaches it."""

    modalities = ("text", "image", "audio")

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: object = None

    def _code(self, seen: object) -> EmotionCode:
        self.seen = seen
        return EmotionCode(torch.eye(512)[:1], torch.zeros(1, 64), torch.ones(1))

    def encode_text(self, texts):
        return self._code(list(texts))

    def encode_image(self, images):
        return self._code(tuple(images.shape))

    def encode_audio(self, mel, mask):
        return self._code((tuple(mel.shape), bool(mask.all())))

    def with_level(self, code, level):
        return EmotionCode(code.vector, code.token, level)


def test_words_are_text() -> None:
    encoder = Recorder()
    assert float(emotion_code(encoder, " quietly happy ").level[0]) == 1
    assert encoder.seen == ["quietly happy"]


def test_image_and_sound_files(tmp_path: Path) -> None:
    encoder = Recorder()
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "face.png")
    emotion_code(encoder, str(tmp_path / "face.png"))
    assert encoder.seen == (1, 3, 40, 30)
    write_audio(tmp_path / "voice.wav", np.sin(np.arange(16_000) / 20).astype(np.float32))
    emotion_code(encoder, str(tmp_path / "voice.wav"))
    assert encoder.seen == ((1, 100, 80), True)


def test_level_moves_the_code() -> None:
    assert float(emotion_code(Recorder(), "happy", 2.5).level[0]) == 2.5


@pytest.mark.parametrize(("emotion", "level", "said"), [("  ", None, "is empty"), ("x.png", None, "no such file")])
def test_what_cannot_be_read_is_refused(emotion: str, level: float | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        emotion_code(Recorder(), emotion, level)


@pytest.mark.parametrize("level", [-0.1, 3.1, float("nan")])
def test_impossible_level(level: float) -> None:
    with pytest.raises(UserError, match="level"):
        emotion_code(Recorder(), "happy", level)


def test_a_dot_in_words_is_no_file() -> None:
    assert modality_of("happy. very happy.") == "text"


@pytest.mark.parametrize(
    "emotion",
    ["face.gif", "voice.opus", "missing.mov", "my voice.wav", "./happy", "~/sad", "faces/happy", "a/b.tiff", "x.abc"],
)
def test_what_looks_like_a_file_is_one_or_an_error(emotion: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        modality_of(emotion)


@pytest.mark.parametrize("name", ["a.gif", "b.tiff", "c.opus", "d.mov"])
def test_files_of_any_kind_are_taken_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert modality_of(str(tmp_path / name)) == ("image" if name[0] in "ab" else "audio")


def test_a_file_that_is_no_medium_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="neither an image file nor an audio file"):
        modality_of(str(tmp_path / "notes.txt"))
    with pytest.raises(UserError, match="a folder"):
        modality_of(f"{tmp_path}/")


@pytest.mark.parametrize("words", ["happy", "very happy, almost 3.5 of 5", "50/50 glad and sad", "Dr. No"])
def test_words_stay_words(words: str) -> None:
    assert modality_of(words) == "text"


def test_words_that_a_fixed_vocabulary_lacks_are_noticed() -> None:
    encoder = Recorder()
    encoder.text = type("Source", (), {"tokenize": type("Tokens", (), {"numbers": {"happy": 3}})})  # type: ignore[assignment]
    assert unknown_words(encoder, "zufrieden ruhig")
    assert not unknown_words(encoder, "Happy, zufrieden")
    assert not unknown_words(Recorder(), "zufrieden")


class Mixer(Recorder):
    """Each text has an axis of its own; a code's level is its first text's place."""

    def encode_text(self, texts):
        axis = ["happy", "sad", "a very angry face"].index(texts[0])
        return EmotionCode(torch.eye(512)[axis : axis + 1], torch.full((1, 64), float(axis)), torch.ones(1))

    def code(self, vector):
        return EmotionCode(vector, torch.zeros(1, 64), torch.ones(1))


@pytest.mark.parametrize("share", [0, 30, 50, 100])
def test_a_mixture_lies_between_its_two_emotions(share: int) -> None:
    code = emotion_code(Mixer(), f"{100 - share}% happy + {share}% a very angry face")
    angle = np.pi / 2 * share / 100
    expected = torch.eye(512)[:1] * np.cos(angle) + torch.eye(512)[2:3] * np.sin(angle)
    torch.testing.assert_close(code.vector, expected.float(), atol=2e-3, rtol=0)
    torch.testing.assert_close(code.token, torch.full((1, 64), 2 * share / 100))


def test_parts_of_a_mixture() -> None:
    assert parts_of("70% quietly happy + 30% a.png") == [("quietly happy", 0.7), ("a.png", 0.3)]
    assert parts_of("happy + sad") == [("happy + sad", 1.0)]
    with pytest.raises(UserError, match="70% and 40% are 110% together"):
        parts_of("70% happy + 40% sad")
    with pytest.raises(UserError, match="level"):
        emotion_code(Mixer(), "50% happy + 50% sad", 4.0)
    assert float(emotion_code(Mixer(), "50% happy + 50% sad", 3.0).level[0]) == 3


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
