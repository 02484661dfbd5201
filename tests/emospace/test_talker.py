"""The talking face with tiny random networks: frames as the speech is heard, and where the videos go."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent / "lightning_modules"))
import hef_world as world

from conventions.errors import UserError
from datamodules.mead import Reference
from emospace.commands.talk import spare_inputs, targets
from emospace.pose import HeadPose
from emospace.talker import animate
from experiments.samples import as_pictures
from face3d.coefficients import IDENTITY
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.config import BackboneConfig, EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule
from lightning_modules.pipeline import CHUNK, Pipeline, driving


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    torch.manual_seed(0)
    encoder = world.HashEncoder()
    weights = EACWeights(mouth=0.0, emotion=0.0)
    eac = EACModule(EACConfig(backbone=BackboneConfig(width=16, heads=2, layers=1), weights=weights), encoder)
    hef = HEFModule(world.tiny_config(), encoder, world.renderer())
    return Pipeline(encoder, eac.eval(), hef.eval(), encoder)


def portrait(seed: int = 0) -> Reference:
    coefficients, place = world.faces(1, torch.Generator().manual_seed(seed))
    return Reference(world.renderer()(coefficients, place).image[0], coefficients[0], place[0], "portrait", 0)


def nodding(frames: int = 9) -> HeadPose:
    angle = torch.zeros(frames, 3)
    angle[:, 0] = torch.linspace(0, 0.4, frames)
    return HeadPose(angle, torch.zeros(frames, 3), torch.ones(frames, 3))


def codes(pipeline: Pipeline) -> tuple[EmotionCode, EmotionCode]:
    code = pipeline.encoder.encode_text(["happy"])
    return code, code


def test_frames_are_those_of_the_whole_speech_at_once(pipeline: Pipeline) -> None:
    source, head, mfcc = portrait(), nodding(), torch.randn(2 * CHUNK + 5, 28, 13)
    made = list(animate(pipeline, source, mfcc.split(7), codes(pipeline), head))
    assert [len(piece) for piece in made] == [CHUNK, CHUNK, 5]
    identity, (code, _) = source.coefficients[None], codes(pipeline)
    moved, places = head.drive(source, 0, len(mfcc))
    with torch.no_grad():
        expression = pipeline.eac.predict_speech(mfcc, code, identity[:, IDENTITY])
        whole = as_pictures(pipeline.draw(source, driving(moved, identity, expression), places, code).frames)
    assert np.abs(np.concatenate(made).astype(int) - whole).max() <= 1
    still = np.concatenate(list(animate(pipeline, source, mfcc.split(7), codes(pipeline), nodding(1))))
    assert np.abs(still[0].astype(int) - whole[0]).max() <= 1, "the first frame is the portrait's own pose"
    assert np.abs(still.astype(int) - whole).max() > 1


def test_frames_of_an_endless_speech_come_as_it_is_heard(pipeline: Pipeline) -> None:
    heard = 0

    def endless() -> Iterator[Tensor]:
        nonlocal heard
        while True:
            heard += CHUNK
            yield torch.zeros(CHUNK, 28, 13)

    frames = animate(pipeline, portrait(), endless(), codes(pipeline), nodding())
    ahead = []
    for piece in range(1, 13):
        assert next(frames).shape == (CHUNK, 16, 16, 3)
        ahead.append(heard - piece * CHUNK)
    assert max(ahead) == ahead[0], "no more is heard ahead of what is shown, however long it lasts"
    assert ahead[0] <= pipeline.eac.network.look_ahead + CHUNK


def test_the_portrait_is_encoded_once(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode = HEFModule.encode_source
    monkeypatch.setattr(HEFModule, "encode_source", lambda *given: encoded.append(0) or encode(*given))
    list(animate(pipeline, portrait(), torch.zeros(3 * CHUNK, 28, 13).split(CHUNK), codes(pipeline), nodding()))
    assert len(encoded) == 1


def test_where_the_videos_go(tmp_path: Path) -> None:
    a, b = Path("people/a.png"), Path("b.jpg")
    assert targets([a], None) == [Path("talk.mp4")]
    assert targets([a], Path("me.mp4")) == [Path("me.mp4")]
    assert targets([a, b], None) == [Path("talk/a.mp4"), Path("talk/b.mp4")]
    assert targets([a, b], tmp_path) == [tmp_path / "a.mp4", tmp_path / "b.mp4"]


def test_places_that_cannot_be_are_one_line(tmp_path: Path) -> None:
    a, b = Path("people/a.png"), Path("b.jpg")
    with pytest.raises(UserError, match="is a folder; give the mp4"):
        targets([a], tmp_path)
    with pytest.raises(UserError, match="one file for 2 portraits; give a folder"):
        targets([a, b], Path("me.mp4"))
    with pytest.raises(UserError, match="more than one is called a"):
        targets([a, Path("a.jpg")], None)
    given = argparse.Namespace(portrait=[a, b], audio=Path("speech.mp4"), emotion="very happy", pose="clips/a.mp4")
    spare_inputs([Path("talk/a.mp4")], given)
    with pytest.raises(UserError, match=r"clips/a\.mp4: would overwrite an input"):
        spare_inputs(targets([a, b], Path("clips")), given)
