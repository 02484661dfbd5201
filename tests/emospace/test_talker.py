"""The talking face with tiny random networks: frames as the speech arrives, and where the videos go."""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import hef_world as world
import numpy as np
import pytest
import torch
from tiny_encoders import whisper
from torch import Tensor

from conventions.errors import UserError
from conventions.rates import SAMPLE_RATE, SAMPLES_PER_FRAME
from datamodules.config import SpeechForm
from datamodules.mead import Reference
from datamodules.speech_loading import load_feature
from emospace.commands.talk import spare_inputs, targets
from emospace.talker import STREAMED, Talker, VideoSettings
from emospace.talking.drawing import Canvas, Speech, perform
from emospace.talking.emotion import Cue, EmotionTrack
from emospace.talking.model_file import TalkingModel
from emospace.talking.motion import Liveliness, Motion, loudness
from emospace.talking.portrait import Portrait
from emospace.talking.pose import HeadPose
from emospace.talking.square import Square
from experiments.samples import as_images
from face3d.coefficients import IDENTITY
from lightning_modules.eac.config import BackboneConfig, EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.eac.network import ExpressionNetwork
from lightning_modules.hef.module import HEFModule
from lightning_modules.pipeline import CHUNK, Pipeline, driving


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    torch.manual_seed(0)
    encoder = world.HashEncoder()
    weights = EACWeights(mouth=0.0, emotion=0.0)
    eac = EACModule(EACConfig(backbone=BackboneConfig(width=16, heads=2, layers=1), weights=weights), encoder)
    hef = HEFModule(world.tiny_config(motion="projected"), encoder, world.renderer())
    return Pipeline(encoder, eac.eval(), hef.eval(), encoder)


@pytest.fixture(params=["mfcc", "mel", "whisper"])
def talker(request: pytest.FixtureRequest, pipeline: Pipeline, tmp_path: Path) -> Talker:
    """One whose EAC receives a speech feature."""
    name = f"hf:{whisper(tmp_path / 'encoder')}" if request.param == "whisper" else request.param
    form = load_feature(name).form
    eac = EACModule(
        dataclasses.replace(pipeline.eac.config, speech=dataclasses.replace(form, name=name)), pipeline.encoder
    )
    return Talker(TalkingModel(dataclasses.replace(pipeline, eac=eac.eval()), "test", {}))


def reference(seed: int = 0) -> Reference:
    coefficients, place = world.faces(1, torch.Generator().manual_seed(seed))
    return Reference(world.renderer()(coefficients, place).image[0], coefficients[0], place[0], "portrait", 0)


def portrait(size: int = 16) -> Portrait:
    """The face fills the image."""
    source = reference()
    picture = as_images(source.image[None])[0].repeat(size // 16, 0).repeat(size // 16, 1)
    square = Square(size / 2, size / 2, size / 2)
    return Portrait(Path("portrait.png"), picture, square, source, torch.zeros(68, 2))


def nodding(frames: int = 9) -> HeadPose:
    angle = torch.zeros(frames, 3)
    angle[:, 0] = torch.linspace(0, 0.4, frames)
    return HeadPose(angle, torch.zeros(frames, 3), torch.ones(frames, 3))


def plain(head: HeadPose | None) -> Liveliness:
    return Liveliness(head, blinks=False, gaze=False)


def track(pipeline: Pipeline) -> tuple[EmotionTrack, EmotionTrack]:
    emotion = EmotionTrack(pipeline.encoder, [Cue(0.0, "happy")])
    return emotion, emotion


def frames(pipeline: Pipeline, mfcc: Iterator[Tensor], lively: Liveliness, at_once: int = CHUNK) -> np.ndarray:
    model, shown = pipeline.hef.renderer.model, portrait()
    motion = Motion(shown.reference, model, lively)
    speech = (Speech(piece, loudness(piece)) for piece in mfcc)
    return np.stack(list(perform(pipeline, Canvas(pipeline, shown), motion, speech, track(pipeline), at_once)))


def test_at_the_training_size_frames_are_the_networks_own(pipeline: Pipeline) -> None:
    """As one pass over the whole speech makes them."""
    source, head, mfcc = reference(), nodding(), torch.randn(2 * CHUNK + 5, 28, 13)
    made = frames(pipeline, iter(mfcc.split(7)), plain(head))
    identity, code = source.coefficients[None], track(pipeline)[0].at(0.0)
    moved, places = head.drive(source, 0, len(mfcc))
    with torch.no_grad():
        expression = pipeline.eac.predict_speech(mfcc, code, identity[:, IDENTITY])
        whole = as_images(pipeline.draw(source, driving(moved, identity, expression), places, code).frames)
    assert np.abs(made.astype(int) - whole).max() <= 1
    still = frames(pipeline, iter(mfcc.split(7)), plain(nodding(1)))
    assert np.abs(still[0].astype(int) - whole[0]).max() <= 1, "the first frame is the portrait's own pose"
    assert np.abs(still.astype(int) - whole).max() > 1


@pytest.mark.parametrize("head", [None, nodding()])
def test_pieces_make_no_difference(pipeline: Pipeline, head: HeadPose | None) -> None:
    """Neither those in which speech arrives nor those in which frames are drawn, with all that is alive."""
    lively, mfcc = Liveliness(head, seed=3), 20 * torch.rand(60, 28, 13)
    whole = frames(pipeline, iter([mfcc]), lively)
    pieces = frames(pipeline, iter(mfcc.split(1)), lively, STREAMED)
    assert np.abs(whole.astype(int) - pieces).max() <= 1


def test_a_backbone_that_does_not_stream_talks_the_same(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    mfcc = 20 * torch.rand(40, 28, 13)
    streamed = frames(pipeline, iter(mfcc.split(7)), plain(None))
    monkeypatch.setattr(ExpressionNetwork, "streams", property(lambda network: False))
    monkeypatch.setattr(ExpressionNetwork, "advance", None)
    assert np.abs(frames(pipeline, iter(mfcc.split(7)), plain(None)).astype(int) - streamed).max() <= 1


def test_frames_come_while_speech_arrives(talker: Talker) -> None:
    """No frame waits for more than the stated look-ahead, however long the speech lasts."""
    arrived = 0

    def speech() -> Iterator[np.ndarray]:
        nonlocal arrived
        random = np.random.default_rng(0)
        while True:
            arrived += 160
            yield random.uniform(-0.3, 0.3, 160).astype(np.float32)

    waits = []
    for index, frame in enumerate(talker.frames(portrait(32), speech(), "happy")):
        assert frame.shape == (32, 32, 3)
        waits.append((arrived / SAMPLES_PER_FRAME - index - 1) * 40)
        if index == 99:
            break
    assert max(waits) <= talker.latency_ms + 1000 * 160 / SAMPLE_RATE
    assert max(waits[50:]) <= max(waits[:50])


def test_all_of_the_speech_is_shown(talker: Talker) -> None:
    speech = np.random.default_rng(0).uniform(-0.3, 0.3, 31 * SAMPLES_PER_FRAME + 100).astype(np.float32)
    assert (
        len(list(talker.frames(portrait(), np.array_split(speech, 7), "happy", settings=VideoSettings(pose="still"))))
        == 31
    )


def test_the_feature_at_hand_is_the_one_that_eac_was_trained_on(pipeline: Pipeline, tmp_path: Path) -> None:
    name = f"hf:{whisper(tmp_path / 'encoder')}"
    for form, line in (
        (SpeechForm(name, (16,), "0" * 64), "its weights have SHA-256 .*, the network needs 0000"),
        (SpeechForm(name, (17,)), r"has frames of \[16\], not \[17\]"),
        (SpeechForm("hf:no-such-encoder", (16,)), "no folder of that name"),
    ):
        eac = EACModule(dataclasses.replace(pipeline.eac.config, speech=form), pipeline.encoder)
        with pytest.raises(UserError, match=line):
            Talker(TalkingModel(dataclasses.replace(pipeline, eac=eac), "test", {}))


def test_where_the_films_go(tmp_path: Path) -> None:
    a, b = Path("people/a.png"), Path("b.jpg")
    assert targets([a], None) == [Path("talk.mp4")]
    assert targets([a], Path("me.webm")) == [Path("me.webm")]
    assert targets([a, b], None) == [Path("talk/a.mp4"), Path("talk/b.mp4")]
    assert targets([a, b], tmp_path) == [tmp_path / "a.mp4", tmp_path / "b.mp4"]


def test_places_that_cannot_be_are_one_line(tmp_path: Path) -> None:
    a, b = Path("people/a.png"), Path("b.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a folder; give the path of a video"):
        targets([a], tmp_path)
    with pytest.raises(UserError, match="there are 2 portraits; give a folder"):
        targets([a, b], Path("me.mp4"))
    with pytest.raises(UserError, match="more than one of the 2 portraits is called a"):
        targets([a, Path("a.jpg")], None)
    with pytest.raises(UserError, match="is a file, not a folder"):
        targets([a], tmp_path / "file" / "me.mp4")
    for name in ("me.gif", "me.wav", "me"):
        with pytest.raises(UserError, match=r"the file must end in \.mp4, \.mov, \.webm"):
            targets([a], Path(name))
    given = argparse.Namespace(portrait=[a, b], audio=Path("speech.mp4"), emotion="very happy", pose="clips/a.mp4")
    spare_inputs([Path("talk/a.mp4")], given)
    with pytest.raises(UserError, match=r"clips/a\.mp4: would overwrite an input"):
        spare_inputs(targets([a, b], Path("clips")), given)
