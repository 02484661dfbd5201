"""Losses, training and scoring of EAC on a two-triangle face and an emotion known by its numbers."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch
from loops import clip_item, metrics_of
from torch import Tensor, nn
from torch.utils.data import DataLoader

from conventions.emotions import EMOTIONS, STYLES
from conventions.errors import UserError
from datamodules.audio import mfcc_windows
from datamodules.batches import EACBatch
from datamodules.config import SpeechForm
from datamodules.endless import EndlessData, item_loader
from datamodules.mead import ClipItem
from datamodules.moments import Moments, Statistics
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.conditioning import batch_codes, even_shares, plain_codes, random_prompts, text_codes
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, RefusedStyle
from lightning_modules.ame.prompts import named_emotions
from lightning_modules.eac.config import BackboneConfig, EACConfig, EACWeights
from lightning_modules.eac.evaluation import (
    data_readout,
    measured_opening,
    part_readouts,
    pose_metrics,
    silence_metrics,
    silent_speech,
)
from lightning_modules.eac.losses import (
    coefficient_loss,
    emotion_loss,
    masked_mean,
    mouth_basis,
    mouth_loss,
    mouth_opening,
    pose_loss,
    pose_of,
    velocity_loss,
)
from lightning_modules.eac.module import EACModule
from lightning_modules.eac.network import Standardisation
from lightning_modules.training.checkpoints import load_state

SMALL = BackboneConfig(width=32, heads=4, layers=2, past=6, future=2)
PLAIN = EACConfig(SMALL, EACWeights(mouth=0.0, emotion=0.0), steps=40, warmup=3, learning_rate=3e-3)


class WordEncoder(EmotionEncoder):
    """One direction for each emotion; the token's first number is the level."""

    modalities = ("text", "image")

    def encode_text(self, texts):
        if any("appalled" in text for text in texts):
            raise RefusedStyle("emotion: cannot express that")
        words = [EMOTIONS.index(named_emotions(text)[0]) for text in texts]
        token = torch.zeros(len(texts), 64)
        token[:, 0] = torch.tensor([3.0 if "very" in text else 1.0 for text in texts])
        return EmotionCode(torch.eye(512)[words], token, token[:, 0])

    def with_level(self, code, level):
        return EmotionCode(code.vector, torch.cat([level[:, None], code.token[:, 1:]], dim=1), level)

    def encode_image(self, images):
        return EmotionCode(torch.eye(512)[[-1] * len(images)], torch.zeros(len(images), 64), torch.zeros(len(images)))


class MeanCritic(nn.Module):
    """Features of an image: its mean colour in four quarters."""

    def features(self, images: Tensor, landmarks: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def batch_of(size: int = 4, steps: int = 12) -> EACBatch:
    """Expression follows the audio's loudness and the emotion."""
    loudness = torch.rand(size, steps, 1, 1)
    mfcc = loudness + 0.1 * torch.randn(size, steps, 28, 13)
    style = torch.randint(len(STYLES), (size,))
    emotion = torch.tensor([EMOTIONS.index(STYLES[i].emotion) for i in style.tolist()])
    coefficients = torch.zeros(size, steps, 257)
    coefficients[..., EXPRESSION.start] = loudness[..., 0, 0]
    coefficients[..., EXPRESSION.start + 4] = emotion[:, None] / 8
    mask = torch.ones(size, steps, dtype=torch.bool)
    mask[0, steps // 2 :] = False
    placement = torch.tensor([1 / 1.3, 0, 0]).expand(size, steps, 3)
    level = torch.tensor([STYLES[i].level for i in style.tolist()])
    image, mel = torch.rand(size, 3, 16, 16) * 2 - 1, torch.full((size, 4 * steps, 80), -50.0)
    shown = torch.zeros(size, dtype=torch.long)
    return EACBatch(mfcc, mask, coefficients, placement, image, shown, mel, emotion, level, style)


def train(module: EACModule, steps: int) -> list[float]:
    module.log_scalars = lambda *args, **kwargs: None
    expression = batch_of(64).coefficients[..., EXPRESSION].flatten(0, 1)
    module.network.expression_statistics.set(expression.mean(0), expression.std(0))
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        loss = module.training_step(batch_of(), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def item(emotion: str, level: int) -> ClipItem:
    """A clip whose lips open with the first expression coefficient."""
    torch.manual_seed(0)
    batch = batch_of(2)
    landmarks = torch.zeros(12, 68, 2)
    landmarks[:, 45, 0] = 1.0
    landmarks[:, 66, 1] = batch.coefficients[1, :, EXPRESSION.start]
    tensors = {"coefficients": batch.coefficients[1], "speech": batch.speech[1], "placement": batch.placement[1]}
    return clip_item(emotion, level, num_frames=12, landmarks=landmarks, **tensors)


BASIC = [item("happy", 1), item("sad", 3)]
UNSEEN = [item("appalled", 2), item("happily_surprised", 1)]


class Clips(EndlessData):
    """What evaluation asks of a data module."""

    def train_clips(self) -> list[ClipItem]:
        return BASIC[:1]

    def clip_item(self, clip: ClipItem) -> ClipItem:
        return clip

    def test_dataloader(self) -> list[DataLoader]:
        return [item_loader(BASIC), item_loader(UNSEEN)]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(load_model("procedural-v1"), 32)


def test_training_lowers_the_loss_without_a_face() -> None:
    torch.manual_seed(0)
    module = EACModule(PLAIN, WordEncoder())
    losses = train(module, 40)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    metrics = metrics_of(module, data=Clips())
    assert metrics["coefficient_error"] < metrics["coefficient_error_mean_face"]
    assert metrics["mouth_correlation"] > 0.3
    assert metrics["unseen/refused"] == 0.5
    assert "unseen/coefficient_error" in metrics


def test_errors_are_on_the_scale_of_the_exact_coefficients() -> None:
    exact = torch.randn(12, 257)
    true = Moments(exact[:, EXPRESSION].mean(0), exact[:, EXPRESSION].std(0, correction=0))
    measured = Moments(true.mean / 100, true.deviation / 100)

    class Data(Clips):
        def statistics(self) -> Statistics:
            return Statistics(true, measured, true)

        def test_dataloader(self) -> list[DataLoader]:
            return [item_loader([replace(BASIC[0], exact=exact)])]

    module = EACModule(PLAIN, WordEncoder())
    module.network.expression_statistics.set(measured.mean, measured.deviation)
    assert metrics_of(module, data=Data())["coefficient_error_mean_face"] == pytest.approx(1, abs=0.02)


def test_all_losses_reach_the_network(renderer: Renderer) -> None:
    torch.manual_seed(0)
    module = EACModule(replace(PLAIN, weights=EACWeights()), WordEncoder(), renderer, MeanCritic())
    train(module, 1)
    batch = batch_of(2)
    code = plain_codes(module.encoder, batch)
    predicted = module.predict(batch.speech, batch.mask, code, batch.coefficients[:, 0, IDENTITY])
    losses = module.losses(batch, predicted)
    assert losses.keys() == {"coefficients", "velocity", "mouth", "emotion"}
    (gradient,) = torch.autograd.grad(losses["emotion"], predicted)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
    assert gradient[0, 6:].abs().max() == 0, "no gradient from padding"
    found = metrics_of(module, BASIC)
    assert {"mouth_correlation", "brow_correlation", "lids_correlation"} <= set(found)
    assert {"silence/speech_mm", "silence/mouth_mm"} <= set(found)


def test_weights_of_zero_skip_the_renderer(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    module = EACModule(PLAIN, WordEncoder(), renderer, MeanCritic())
    monkeypatch.setattr(Renderer, "forward", lambda *_: pytest.fail("rendered"))
    train(module, 1)


def test_parents_are_not_saved(renderer: Renderer) -> None:
    module = EACModule(replace(PLAIN, weights=EACWeights()), WordEncoder(), renderer, MeanCritic())
    assert {name.split(".")[0] for name in module.state_dict()} == {"network"}
    module.load_state_dict(module.state_dict())
    with pytest.raises(UserError, match=r"network\..* has shape"):
        EACModule(replace(PLAIN, backbone=replace(SMALL, width=64)), WordEncoder()).load_state_dict(module.state_dict())


def test_losses_ignore_padding_and_are_zero_for_the_truth() -> None:
    true, mask, ones = torch.randn(2, 6, 64), torch.ones(2, 6, dtype=torch.bool), torch.ones(64)
    mask[1, 3:] = False
    basis = torch.randn(64, 20, 3)
    wrong = true.clone()
    wrong[1, 3:] += 100
    for loss in (coefficient_loss, velocity_loss):
        assert loss(wrong, true, mask, ones) == 0
        assert loss(true + 1 if loss is coefficient_loss else true * 2, true, mask, ones) > 0
    assert mouth_loss(wrong, true, mask, basis) < 1e-3
    assert emotion_loss(true[0], true[0]).abs() < 1e-6
    assert masked_mean(torch.full((2, 6, 3), 2.0), mask) == 2


@pytest.mark.parametrize("target", ["photo", "render"])
def test_the_emotion_loss_compares_with_its_target_alone(
    renderer: Renderer, target: Literal["photo", "render"]
) -> None:
    critic, weights = MeanCritic(), EACWeights(mouth=0.0, emotion=1.0)
    module = EACModule(replace(PLAIN, weights=weights, emotion_target=target), WordEncoder(), renderer, critic)
    batch = batch_of(3)
    image = torch.rand(3, 3, renderer.size, renderer.size) * 2 - 1
    batch = replace(batch, image=image, shown=torch.tensor([2, 0, 5]))
    true = batch.coefficients[..., EXPRESSION]
    same = float(module.emotion_loss(batch, true))
    if target == "render":
        assert same < 1e-6
        assert float(module.emotion_loss(replace(batch, image=-image), true)) == pytest.approx(same, abs=1e-6)
        return
    rows = torch.arange(3), batch.shown
    drawn = renderer(batch.coefficients[rows], batch.placement[rows])
    expected = emotion_loss(critic.features(drawn.image, drawn.keypoints), critic.features(image, drawn.keypoints))
    assert same == pytest.approx(float(expected), abs=1e-6)
    assert same > 1e-3


def test_several_frames_of_a_clip_have_no_photo() -> None:
    with pytest.raises(ValueError, match="emotion_frames: 2 needs emotion_target: render"):
        EACConfig(emotion_frames=2)


def test_mouth_opens_with_the_jaw(renderer: Renderer) -> None:
    module = EACModule(PLAIN, WordEncoder(), renderer)
    assert module.basis is not None
    jaw = torch.zeros(64)
    jaw[0] = 1.0
    assert 5 < mouth_opening(jaw, module.basis) < 60


def test_brows_and_lids_move_with_their_axes(renderer: Renderer) -> None:
    names = renderer.model.expression_names
    assert names is not None
    read = part_readouts(renderer.model)
    for part, axis, sign in (("brow", "outer_brow_raiser_left", 1), ("brow", "brow_lowerer_right", -1),
                             ("lids", "eye_closure_left", -1), ("lids", "upper_lid_raiser_right", 1)):  # fmt: skip
        face = torch.zeros(1, 64)
        face[0, names.index(axis)] = 1.0
        assert 0.3 < sign * float(read[part](face)) < 20, axis


def test_silence_is_that_of_a_silent_recording() -> None:
    found = silent_speech(SpeechForm(), 7, torch.device("cpu"))
    assert found is not None
    assert torch.equal(found, torch.from_numpy(mfcc_windows(np.zeros(16_000, np.float32), 7)))
    assert silent_speech(SpeechForm("hf:whisper", (384,)), 7, torch.device("cpu")) is None


def test_a_mouth_that_follows_the_sound_closes_in_silence(renderer: Renderer) -> None:
    assert renderer.model.expression_names is not None
    speaking = torch.zeros(5, 64)
    speaking[:, renderer.model.expression_names.index("jaw_open")] = 0.5
    found = silence_metrics(speaking, torch.zeros(5, 64), mouth_basis(renderer.model))
    assert found["silence/mouth_mm"] == 0 < found["silence/speech_mm"]


def test_the_heads_motion_is_learnt_up_to_a_constant() -> None:
    """The head nods as the audio is loud; where it is on the whole does not count."""
    torch.manual_seed(0)
    module = EACModule(replace(PLAIN, pose=True), WordEncoder())

    def nodding(batch: EACBatch) -> EACBatch:
        coefficients = batch.coefficients.clone()
        coefficients[..., ANGLE.start] = 0.3 * batch.speech.mean((2, 3)) + torch.randn(len(batch), 1)
        return replace(batch, coefficients=coefficients)

    module.log_scalars = lambda *args, **kwargs: None  # type: ignore[method-assign]
    optimizer = module.configure_optimizers()["optimizer"]
    for step in range(60):
        torch.manual_seed(step)
        loss = module.training_step(nodding(batch_of(8)), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = nodding(batch_of(2, 40))
    code = plain_codes(module.encoder, batch)[:1]
    head = module.predict_head(batch.speech[1], code, batch.coefficients[1, :1])
    torch.testing.assert_close(head[0, :3], batch.coefficients[1, 0, ANGLE])
    found = pose_metrics(head, pose_of(batch.coefficients[1]) / 10)
    assert found["pose/error_degrees"] < 0.7 * found["pose/still_error_degrees"]


def test_pose_loss_is_blind_to_a_constant_and_to_padding() -> None:
    true, mask = torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    wrong = true + torch.randn(2, 1, 6)
    wrong[1, 3:] += 9
    assert pose_loss(wrong, true, mask) < 1e-6
    wrong[0, 2] += 1
    assert pose_loss(wrong, true, mask) > 0.05


def test_quiet_coefficients_count_as_a_share_of_the_liveliest() -> None:
    statistics = Standardisation(3)
    assert torch.equal(statistics.deviation, torch.ones(3))
    statistics.set(torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 5, 0.001]))
    assert statistics.mean.tolist() == [1, 2, 3]
    assert statistics.deviation.tolist() == pytest.approx([1, 5, 0.25])
    statistics.set(torch.zeros(3), torch.ones(3))
    assert statistics.mean.tolist() == [1, 2, 3], "those kept with the weights stay"


def test_weights_of_the_earlier_format_load(tmp_path: Path) -> None:
    values = torch.randn(100, 64) * 3 + 2
    module = EACModule(PLAIN, WordEncoder())
    state = module.state_dict()
    for name, width in (("network.sound_statistics", 13), ("network.expression_statistics", 64)):
        for part in ("mean", "deviation", "known"):
            del state[f"{name}.{part}"]
        seen = values[:, :width].double()
        state |= {f"{name}.count": torch.tensor(100.0).double(), f"{name}.total": seen.sum(0)}
        state[f"{name}.squares"] = seen.square().sum(0)
    for load in (module.load_state_dict, lambda state: load_state(module, state, "final.pt")):
        load(state)
        statistics = module.network.expression_statistics
        assert torch.allclose(statistics.mean, values.mean(0), atol=1e-5)
        assert torch.allclose(statistics.deviation, values.std(0, correction=0), rtol=1e-4)
        assert statistics.known


def test_conditions_of_a_batch() -> None:
    torch.manual_seed(0)
    batch, encoder = batch_of(6), WordEncoder()
    prompts = random_prompts(batch)
    assert len(set(prompts)) > 1
    given = encoder, batch, batch.image, None
    always = batch_codes(*given, shares=even_shares(encoder, 1.0), slider_share=0.0)
    assert torch.equal(always.vector, encoder.encode_image(batch.image).vector)
    never = batch_codes(*given, shares={}, slider_share=0.0)
    assert not torch.equal(never.vector, always.vector)
    unlabelled = replace(batch, emotion=torch.full((6,), -1), level=torch.full((6,), -1))
    assert plain_codes(encoder, unlabelled).vector.argmax(-1).tolist() == [EMOTIONS.index("neutral")] * 6


def test_the_slider_gives_each_clip_its_own_level_and_neutral_ones_any_emotion_at_none() -> None:
    torch.manual_seed(0)
    happy, neutral = EMOTIONS.index("happy"), EMOTIONS.index("neutral")
    emotion = torch.tensor([happy, happy, neutral, -1] * 8)
    batch = replace(batch_of(32), emotion=emotion, level=torch.tensor([1, 3, 1, -1] * 8))
    code = text_codes(WordEncoder(), batch, 1.0)
    assert code.level.tolist() == [1, 3, 0, 0] * 8
    assert torch.equal(code.token[:, 0], code.level)
    directions = code.vector.argmax(-1)
    assert (directions[emotion == happy] == happy).all()
    unemotional = directions[emotion != happy].tolist()
    assert neutral not in unemotional
    assert len(set(unemotional)) > 3
    half = text_codes(WordEncoder(), batch, 0.5).vector.argmax(-1)[emotion == neutral]
    assert 0 < (half == neutral).sum() < len(half)


class Faces:
    """Images of mouths that open with the first expression coefficient, or with none of them."""

    def __init__(self, follows: bool) -> None:
        random = torch.Generator().manual_seed(0)
        coefficients, landmarks = torch.randn(200, 257, generator=random), torch.zeros(200, 68, 2)
        landmarks[:, 45, 0] = 1.0
        opening = coefficients[:, EXPRESSION.start] if follows else torch.randn(200, generator=random)
        landmarks[:, 66, 1] = 5 + opening
        self.item = SimpleNamespace(coefficients=coefficients, landmarks=landmarks)

    def clip_item(self, clip: ClipItem) -> SimpleNamespace:
        return self.item


def test_a_readout_of_the_mouth_is_learnt_from_landmarks() -> None:
    faces = Faces(follows=True)
    readout = data_readout(faces, BASIC[:1], torch.device("cpu"))
    assert readout is not None
    given = readout(faces.item.coefficients[:, EXPRESSION])
    assert torch.corrcoef(torch.stack([given, measured_opening(faces.item.landmarks)]))[0, 1] > 0.99


def test_no_mouth_is_read_off_coefficients_of_other_pictures() -> None:
    assert data_readout(Faces(follows=False), BASIC[:1], torch.device("cpu")) is None


def test_impossible_numbers_are_named() -> None:
    for make, message in (
        (lambda: BackboneConfig(width=36, heads=4), "width: 36 must be a multiple of 2 x heads"),
        (lambda: EACWeights(mouth=-0.5), "mouth: -0.5 is not valid"),
        (lambda: EACConfig(slider_share=1.2), "slider_share: 1.2 is not valid; it must be between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            make()
