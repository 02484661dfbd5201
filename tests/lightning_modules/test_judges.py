from itertools import islice

import numpy as np
import pytest
import torch
from loops import metrics_of
from sklearn.metrics import roc_auc_score

from conventions.errors import UserError
from face3d.coefficients import EXPRESSION, IDENTITY
from lightning_modules.standins.config import CriticsConfig, JudgesConfig
from lightning_modules.standins.judges import losses
from lightning_modules.standins.judges.critics import CriticsData, CriticsModule, swap_people
from lightning_modules.standins.judges.data import Faces, JudgesData, SpeechClip, held_out_people, join
from lightning_modules.standins.judges.module import JudgesModule, same_person_auc
from metrics.protocol import METRIC_NAMES, OPTIONAL, ROLES

CONFIG = JudgesConfig(
    critics=CriticsConfig(steps=2, batch_size=8, width=4, renders=2),
    steps=2, batch_size=12, width=4, sync_clips=2, sync_windows=6,
)  # fmt: skip


def made_faces(people: int = 8, each: int = 4) -> Faces:
    random, count = np.random.default_rng(0), people * each
    coefficients = random.uniform(0, 0.3, (count, 257)).astype(np.float32)
    coefficients[:, 144:] = 0
    return Faces(
        images=random.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8),
        landmarks=random.uniform(-0.5, 0.5, (count, 68, 2)).astype(np.float32),
        emotion=random.integers(0, 8, count),
        person=np.repeat(np.arange(people), each),
        coefficients=coefficients,
        placement=np.tile(np.array([1 / 1.3, 0, 0], np.float32), (count, 1)),
    )


def made_clip(index: int, frames: int = 30) -> SpeechClip:
    generator = torch.Generator().manual_seed(index)
    pictures = torch.randint(0, 256, (frames, 3, 64, 64), generator=generator, dtype=torch.uint8)
    waveform = torch.rand(frames * 640, generator=generator) - 0.5
    return SpeechClip.make(f"clip{index}", f"A{index % 3}", "happy", pictures, waveform)


@pytest.fixture(scope="module")
def data() -> JudgesData:
    return JudgesData(CONFIG, made_faces(), [made_clip(i) for i in range(6)], seed=5)


def test_batches_are_a_function_of_their_number(data):
    data.next_batch = 7
    later = next(iter(data.train_dataloader()))
    data.next_batch = 0
    again = list(islice(data.train_dataloader(), 8))[7]
    for name in ("images", "landmarks", "emotion", "person", "pictures", "sounds"):
        assert torch.equal(getattr(later, name), getattr(again, name))
    assert not torch.equal(later.images, data.batch(8).images)


def test_people_and_actors_of_the_test_are_never_trained_on(data):
    assert not set(data.train_faces.person) & set(data.test_faces.person)
    assert {clip.actor for clip in data.test_speech} == {"A2"}
    assert {clip.actor for clip in data.train_speech} == {"A0", "A1"}


def test_batches_hold_several_pictures_of_a_person_and_windows_that_belong_together(data):
    batch = data.batch(0)
    _, counts = batch.person.unique(return_counts=True)
    assert (counts >= 2).all()
    clip = data.train_speech[0]
    assert torch.equal(clip.pictures([3])[0], clip.frames[3:8])
    assert torch.equal(clip.sounds([3])[0], clip.mfcc[12:32].T)
    assert batch.pictures.shape == (12, 5, 3, 64, 64)
    assert batch.sounds.shape == (12, 13, 20)


def test_one_judge_actor_is_too_few():
    with pytest.raises(UserError, match="two judge actors, found 1"):
        JudgesData(CONFIG, made_faces(), [made_clip(0), made_clip(3)], seed=0)


def test_joined_faces_keep_their_persons_apart():
    both = join([made_faces(3, 2), made_faces(2, 2)])
    assert both.person.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert held_out_people(both.person, 0.1).tolist() == [False] * 8 + [True] * 2


def test_augmented_landmarks_stay_on_their_pixels():
    torch.manual_seed(0)
    points = torch.rand(16, 68, 2) * 0.8 - 0.4
    images = torch.full((16, 3, 64, 64), -1.0)
    for image, (x, y) in zip(images, points[:, 0], strict=True):
        column, row = int((x + 1) * 32), int((y + 1) * 32)
        image[:, row - 1 : row + 2, column - 1 : column + 2] = 1
    moved, landmarks = losses.augment(images, points)
    brightest = moved.mean(dim=1)
    total = (brightest - brightest.amin(dim=(1, 2), keepdim=True)).clamp(min=0.3) - 0.3
    axis = (torch.arange(64) + 0.5) / 32 - 1
    x = (total.sum(dim=1) * axis).sum(dim=1) / total.sum(dim=(1, 2))
    y = (total.sum(dim=2) * axis).sum(dim=1) / total.sum(dim=(1, 2))
    assert (torch.stack([x, y], dim=1) - landmarks[:, 0]).abs().max() < 2 / 32


def test_losses_know_the_right_answer():
    torch.manual_seed(0)
    person = torch.tensor([0, 0, 1, 1, 2])
    apart = torch.eye(3)[person]
    assert losses.identity_loss(apart, person, 0.1) < losses.identity_loss(apart, person.flip(0), 0.1)
    unit = torch.nn.functional.normalize(torch.randn(8, 16), dim=1)
    assert losses.sync_loss(unit, unit, 0.1) < losses.sync_loss(unit, unit.roll(1, 0), 0.1)
    landmarks = torch.rand(2, 68, 2)
    assert float(losses.landmark_loss(landmarks + torch.tensor([0.3, 0.4]), landmarks)) == pytest.approx(0.5, rel=1e-4)


def test_auc_is_that_of_sklearn():
    embeddings = torch.nn.functional.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    person = torch.arange(20) // 4
    first, second = torch.triu_indices(20, 20, 1)
    expected = roc_auc_score(person[first] == person[second], (embeddings[first] * embeddings[second]).sum(dim=1))
    assert same_person_auc(embeddings, person) == pytest.approx(expected)


def fitted(module, batches):
    torch.manual_seed(0)
    optimizer = module.configure_optimizers()["optimizer"]
    before = {name: tensor.clone() for name, tensor in module.named_parameters()}
    module.train()
    for batch in batches:
        values = module.losses(batch)
        assert all(value.isfinite() for value in values.values())
        optimizer.zero_grad()
        sum(values.values()).backward()
        optimizer.step()
    return [name for name, tensor in module.named_parameters() if torch.equal(tensor, before[name])]


def test_every_judge_is_trained_tested_and_serves_the_suite(data):
    module = JudgesModule(CONFIG)
    assert fitted(module, [data.batch(0), data.batch(1)]) == []
    tested = metrics_of(module, data=data)
    assert {"landmark_error_px", "emotion_accuracy", "identity_auc", "sync_accuracy"} <= tested.keys()
    suite, clip = module.suite(), made_clip(9, 25)
    audio = torch.cat([torch.zeros(10 * 640), torch.rand(15 * 640) - 0.5])
    row = suite.score_clip(clip.frames, clip.frames, audio, clip.frames[:1], emotion=4)
    table = suite.aggregate([row])
    assert all(np.isfinite(table[name]) for name in METRIC_NAMES if ROLES.get(name) not in OPTIONAL)
    assert suite.stand_ins == {name for name in METRIC_NAMES if name in ROLES and ROLES[name] not in OPTIONAL}
    assert table["LMD"] == pytest.approx(0)
    assert table["CSIM"] == pytest.approx(1)


def test_judges_state_does_not_depend_on_the_data(data):
    state = JudgesModule(CONFIG).state_dict()
    JudgesModule(CONFIG).load_state_dict(state)


def test_swapped_people_keep_expression_and_pose():
    coefficients = np.random.default_rng(0).normal(size=(6, 257)).astype(np.float32)
    swapped = swap_people(coefficients, np.random.default_rng(1))
    np.testing.assert_array_equal(swapped[:, EXPRESSION], coefficients[:, EXPRESSION])
    np.testing.assert_array_equal(np.sort(swapped[:, IDENTITY], axis=0), np.sort(coefficients[:, IDENTITY], axis=0))
    assert not np.array_equal(swapped[:, IDENTITY], coefficients[:, IDENTITY])


def test_a_photograph_stands_beside_the_render_of_its_own_face():
    data = CriticsData(CONFIG, made_faces(5, 3), seed=0)
    batch, faces = data.batch(0), data.train_faces
    for image, own, emotion in zip(batch.images, batch.own_renders, batch.emotion, strict=True):
        pixels = image.permute(1, 2, 0).numpy()
        row = next(i for i, known in enumerate(faces.images) if np.array_equal(known, pixels))
        assert torch.equal(own, data.train_renders.images[row])
        assert emotion == faces.emotion[row]


def test_critics_are_trained_tested_and_differentiable_to_pictures():
    data = CriticsData(CONFIG, made_faces(5, 3), seed=0)
    assert len(data.train_renders.images) == 2 * len(data.train_faces)
    module = CriticsModule(CONFIG)
    assert fitted(module, [data.batch(0), data.batch(1)]) == []
    assert set(metrics_of(module, data=data)) >= {
        "photo_emotion_accuracy",
        "render_emotion_accuracy",
        "face_emotion_accuracy",
        "domain_distance",
        "photo_identity_auc",
    }
    module.eval()
    images = torch.rand(2, 3, 64, 64).requires_grad_()
    for output in (
        module.face_emotion.features(images), module.photo_emotion.features(images),
        module.photo_identity.embed(images)[:, 0], module.perceptual()(images)[0],
    ):  # fmt: skip
        (gradient,) = torch.autograd.grad(output.square().sum(), images, retain_graph=True)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"sync_windows": 1}, "sync_windows"),
        ({"held_out": 1.5}, "held_out"),
        ({"batch_size": 4}, "batch_size"),
    ],
)
def test_impossible_numbers_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        JudgesConfig(**change)
