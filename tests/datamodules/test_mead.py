"""The data module: batches as pure functions of (seed, step), roles kept apart, whole clips for evaluation."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from conventions.emotions import STYLES, style_index
from conventions.errors import UserError
from datamodules import assemble
from datamodules.batches import AMEBatch, Batch, EACBatch, HEFBatch
from datamodules.clips import Clips, Columns, StoredClip, Words
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule, View
from datamodules.moments import store_statistics
from datamodules.prepare import prepare
from datamodules.sampling import Pair, SameActorPairs, StyleBalanced, following, generator
from datamodules.splits import Split, available
from datamodules.store import Store
from face3d.coefficients import EXPRESSION


@pytest.fixture(scope="module")
def config(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    folder = tmp_path_factory.mktemp("mead")
    prepare(raw, folder / "store", coefficients="mat", size=64)
    (folder / "split.yaml").write_text("name: small\ntrain: rest\ntest: [W002]\n")
    return DataConfig(store=str(folder / "store"), split=str(folder / "split.yaml"), image_size=32, clip_frames=25)


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


def take(module: MEADDataModule, count: int) -> list[Batch]:
    return list(itertools.islice(module.train_dataloader(), count))


VIEWS: list[View] = ["ame", "eac", "hef"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_batch_is_a_pure_function_of_seed_and_step(config: DataConfig, view: View) -> None:
    batches = take(MEADDataModule(config, view, 4, seed=7), 5)
    resumed = MEADDataModule(config, view, 4, seed=7)
    resumed.load_state_dict({"next_batch": 3})
    assert all(same(a, b) for a, b in zip(take(resumed, 2), batches[3:], strict=True))
    assert not same(batches[0], batches[1])
    assert not same(batches[0], take(MEADDataModule(config, view, 4, seed=8), 1)[0])


def test_workers_do_not_change_the_batches(config: DataConfig) -> None:
    alone = MEADDataModule(config, "eac", 2, seed=1)
    helped = MEADDataModule(DataConfig(**{**vars(config), "workers": 2}), "eac", 2, seed=1)
    assert all(same(a, b) for a, b in zip(take(alone, 4), take(helped, 4), strict=True))


def attached(module: MEADDataModule, rank: int, world_size: int = 2) -> MEADDataModule:
    """The data as a trainer's process number `rank` has it."""
    module.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)  # pyright: ignore
    return module


@pytest.mark.parametrize("view", VIEWS)
def test_each_rank_draws_batches_of_its_own(config: DataConfig, view: View) -> None:
    alone = take(MEADDataModule(config, view, 4, seed=7), 2)
    by_rank = [take(attached(MEADDataModule(config, view, 4, seed=7), rank), 2) for rank in (0, 1)]
    assert all(same(a, b) for a, b in zip(alone, by_rank[0], strict=True))
    assert not any(same(a, b) for a, b in zip(*by_rank, strict=True))


def test_the_environment_changes_no_batch(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = take(MEADDataModule(config, "eac", 4, seed=7), 1)[0]
    for variable in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        monkeypatch.setenv(variable, "1")
    assert same(take(MEADDataModule(config, "eac", 4, seed=7), 1)[0], before)
    assert same(take(attached(MEADDataModule(config, "eac", 4, seed=7), 0, world_size=1), 1)[0], before)


def test_shapes_and_ranges(config: DataConfig) -> None:
    ame = take(MEADDataModule(config, "ame", 3), 1)[0]
    assert isinstance(ame, AMEBatch)
    assert ame.image.shape == (3, 3, 32, 32)
    assert ame.voice.shape == (3, 100, 80)
    assert ame.voice_mask.sum(dim=1).tolist() == [80] * 3, "clips of 20 frames, padded to 25"
    assert (ame.voice[~ame.voice_mask] == -80).all()
    eac = take(MEADDataModule(config, "eac", 3), 1)[0]
    assert isinstance(eac, EACBatch)
    assert eac.speech.shape == (3, 25, 28, 13)
    assert eac.mask.sum(dim=1).tolist() == [20] * 3
    assert (eac.coefficients[~eac.mask] == 0).all()
    hef = take(MEADDataModule(config, "hef", 3, resolution=64), 1)[0]
    assert isinstance(hef, HEFBatch)
    assert hef.source.shape == hef.target.shape == (3, 3, 64, 64)
    assert -1 <= hef.source.min() <= hef.source.max() <= 1
    assert len(hef) == 3
    assert same(hef, hef.to("cpu"))


def test_the_picture_of_a_stretch_is_one_of_its_frames(config: DataConfig) -> None:
    module = MEADDataModule(replace(config, clip_frames=6), "eac", 4)
    batch, store = module.batch_maker()(3), Store(config.store)
    for row, number in enumerate(batch.shown.tolist()):
        own = [c for c in module.train_clips() for r in range(c.rows.start, c.rows.stop)
               if np.array_equal(store.coefficients[r], batch.coefficients[row, number])]  # fmt: skip
        frames = torch.cat([assemble.pictures(store, clip, range(clip.length), 32) for clip in own])
        assert any(torch.equal(frame, batch.image[row]) for frame in frames)
    item = module.clip_item(module.test_clips()[0])
    assert torch.equal(item.as_batch().image[0], item.frames[int(item.as_batch().shown)])


def test_training_sees_its_own_actors_and_basic_styles_only(config: DataConfig) -> None:
    module = MEADDataModule(config, "eac", 2)
    assert {clip.actor for clip in module.train_clips()} == {"M001"}
    assert [clip.id for clip in module.test_clips()] == ["W002_front_happy_1_001"]
    assert [clip.emotion for clip in module.test_clips("unseen")] == ["awed"]
    assert list(module.val_clips()) == []
    styles = torch.cat([batch.style for batch in take(module, 10)])
    assert set(styles.tolist()) <= {style_index("happy", 3), style_index("neutral", 1)}


def test_a_role_without_clips_is_one_clear_line(config: DataConfig) -> None:
    module = MEADDataModule(config, "ame", 2)
    with pytest.raises(UserError, match=r"split 'small' leaves no judge clip with a label.*M001, W002"):
        module.batch_maker("judge")
    with pytest.raises(UserError, match=r"data\.store"):
        MEADDataModule(DataConfig(), "ame", 2)
    with pytest.raises(UserError, match="needs view=: one of ame, eac, hef"):
        MEADDataModule(config)


def test_whole_clips(config: DataConfig) -> None:
    module = MEADDataModule(config, "eac", 2)
    store, clip = Store(config.store), module.test_clips()[0]
    item = module.clip_item(clip)
    assert item.frames.shape == (20, 3, 32, 32)
    assert item.voice.shape == (80, 80)
    assert item.audio.shape == (20 * 640,)
    assert item.audio.abs().max() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(item.coefficients, torch.tensor(store.coefficients[clip.rows]))
    assert STYLES[item.style].name == "happy_1"
    assert module.clip_item(module.test_clips("unseen")[0]).style == -1


@pytest.mark.parametrize("view", ["ame", "eac"])
def test_evaluation_reads_whole_clips_of_basic_then_of_unseen_styles(config: DataConfig, view: View) -> None:
    basic, unseen = MEADDataModule(config, view, 2).test_dataloader()
    assert [item.emotion for item in basic] == ["happy"]
    assert [item.emotion for item in unseen] == ["awed"]
    assert len(basic) == 1


def test_no_clips_are_no_loaders(config: DataConfig) -> None:
    module = MEADDataModule(config, "eac", 2)
    assert module.val_dataloader() == []
    all_train = MEADDataModule(replace(config, split="all_train"), "eac", 2)
    assert all_train.test_dataloader() == all_train.val_dataloader() == []


def test_validation_reads_a_bounded_number_of_clips_evenly_taken(config: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "split.yaml").write_text("name: small\ntrain: [W002]\nval: [M001]\n")
    other = replace(config, split=str(tmp_path / "split.yaml"))
    assert [len(loader) for loader in MEADDataModule(other, "ame", 2).val_dataloader()] == [2]
    (one,) = MEADDataModule(other, "ame", 2, val_clips=1).val_dataloader()
    assert [item.actor for item in one] == ["M001"]


def test_every_rank_evaluates_everything(config: DataConfig) -> None:
    loader = attached(MEADDataModule(config, "eac", 2), 1).test_dataloader()[0]
    assert isinstance(loader.sampler, DistributedSampler), "any other one Lightning would replace"
    assert loader.sampler.num_replicas == 1
    assert len(list(loader)) == 1


def test_the_reference_frame_is_never_made_from_itself(config: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "split.yaml").write_text("name: small\ntrain: [W002]\ntest: [M001]\n")
    module = MEADDataModule(replace(config, split=str(tmp_path / "split.yaml")), "hef", 2, evaluate_frames=20)
    batches, reference = list(module.test_dataloader()[0]), module.reference_frame("M001")
    assert len(batches) == 2
    for batch in batches:
        assert isinstance(batch, HEFBatch)
        assert torch.equal(batch.source[0], reference.image)
    clips = {clip.id: clip for clip in module.test_clips()}
    scored = module.reenactment(clips[reference.clip])
    rows = module.clip_item(clips[reference.clip]).coefficients
    assert torch.equal(scored.target_coefficients[[0, -1]], rows[[1, -1]]), "from the second frame to the last"


def test_statistics_weigh_every_style_alike_and_are_those_of_the_training_clips(config: DataConfig) -> None:
    module = MEADDataModule(config, "eac", 2)
    found, items = module.statistics(), [module.clip_item(clip) for clip in module.train_clips()]
    assert len({(item.emotion, item.level) for item in items}) == len(items) == 2, "one clip of each style"
    expression = torch.cat([item.coefficients[:, EXPRESSION] for item in items])
    assert torch.allclose(found.expression.mean, expression.mean(0), atol=1e-6)
    assert torch.allclose(found.expression.deviation, expression.std(0, correction=0), atol=1e-6)
    sound = torch.cat([item.speech.flatten(0, 1) for item in items])
    assert torch.allclose(found.sound.mean, sound.mean(0), rtol=1e-4, atol=1e-4)
    once, clip = module.train_clips(), module.train_clips()[0]
    repeated = store_statistics(module.store, [*once, clip, clip])
    assert torch.allclose(repeated.expression.mean, found.expression.mean, atol=1e-6)


def test_clips_move_as_one(config: DataConfig) -> None:
    item = MEADDataModule(config, "eac", 2).test_dataloader()[0].dataset[0]
    moved = item.to("meta")
    assert moved.frames.device.type == moved.landmarks.device.type == "meta"
    assert moved.emotion == item.emotion


def test_the_reference_is_neutral(config: DataConfig) -> None:
    module = MEADDataModule(config, "hef", 2)
    reference = module.reference_frame("M001")
    assert reference.clip == "M001_front_neutral_1_001"
    assert reference.image.shape == (3, 32, 32)
    assert module.reference_frame("W002").clip == "W002_front_happy_1_001", "the mildest where none is neutral"
    with pytest.raises(UserError, match=r"no clip of actor 'M00'; did you mean 'M001'"):
        module.reference_frame("M00")


def test_every_style_is_equally_likely(config: DataConfig) -> None:
    clips = Store(config.store).clips
    lopsided = Clips(clips.columns, np.array([0, *[1] * 50]))
    drawn = StyleBalanced(lopsided).draw(generator(0, 0), 2000)
    assert sum(clip.id == clips[0].id for clip in drawn) == pytest.approx(1000, abs=100)


def test_the_share_of_unlabelled_pairs(config: DataConfig) -> None:
    clips = Store(config.store).clips
    columns, last = clips.columns, len(clips) - 1
    codes, level = columns.emotion.codes.copy(), columns.level.copy()
    codes[last] = level[last] = -1
    both = Clips(replace(columns, emotion=Words(columns.emotion.values, codes), level=level))

    def share(clips: Clips, unlabelled: float) -> float:
        pairs = SameActorPairs(clips, unlabelled).draw(generator(0, 0), 1000)
        return sum(pair.target.emotion is None for pair in pairs) / 1000

    assert share(both, 0.7) == pytest.approx(0.7, abs=0.05)
    styles = len({(clip.emotion, clip.level) for clip in both})
    assert share(both, 0.0) == pytest.approx(1 / styles, abs=0.05), "one style among the others"
    assert share(clips, 0.7) == 0, "a store without unlabelled clips"
    assert share(both[-1:], 0.7) == 1
    first, plain = (take(MEADDataModule(config, "hef", 4, seed=7, unlabelled=u), 1)[0] for u in (0.7, 0.0))
    assert same(first, plain), "where there is one kind alone, batches stay the same"


def test_pairs_are_of_one_actor(config: DataConfig) -> None:
    module = MEADDataModule(DataConfig(**{**vars(config), "split": "all_train"}), "hef", 16)
    store = Store(config.store)
    rows: dict[bytes, str] = {}
    for clip in store.clips:
        rows |= {
            store.coefficients[row].tobytes() + store.placement[row].tobytes(): clip.actor
            for row in range(80)[clip.rows]
        }

    def actor(coefficients: Tensor, placement: Tensor) -> str:
        return rows[coefficients.numpy().tobytes() + placement.numpy().tobytes()]

    batch = take(module, 1)[0]
    assert isinstance(batch, HEFBatch)
    for i in range(16):
        source = actor(batch.source_coefficients[i], batch.source_placement[i])
        assert source == actor(batch.target_coefficients[i], batch.target_placement[i])


def test_neighbours_follow_each_other(config: DataConfig) -> None:
    module = MEADDataModule(config, "hef", 6, successive=2)
    batch, store = module.batch_maker()(2), Store(config.store)
    rows = [
        next(r for r in range(store.num_frames) if np.array_equal(store.coefficients[r], row))
        for row in batch.target_coefficients
    ]
    assert all(after == before + 1 for before, after in zip(rows[::2], rows[1::2], strict=True))
    assert torch.equal(batch.source[::2], batch.source[1::2])
    one = Pair(store.clips[0], 0, store.clips[0], store.clips[0].length - 1)
    assert [pair.target_index for pair in following(one, 2)] == [store.clips[0].length - 2, store.clips[0].length - 1]


def test_shipped_splits_load() -> None:
    assert {"eat", "all_train", "talking"} <= set(available())
    for name in available():
        assert Split.load(name).name == name
    eat = Split.load("eat")
    assert {eat.role(actor) for actor in ("M003", "M030", "W009", "W015")} == {"test"}
    assert eat.role("M005") == "train"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: x\ntrain: [a]\ntest: [a]", "actor a is in train and in test"),
        ("name: x\ntrain: rest\ntest: rest", "only one role"),
        ("name: x\ntrian: [a]", "unknown key 'trian'; did you mean 'train'"),
        ("name: x\ntrain: a", "must be a list of actors or 'rest'"),
        ("train: [a]", "needs a name"),
        ("name: [", "is not valid YAML"),
    ],
)
def test_a_wrong_split_is_one_clear_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(UserError, match=words) as error:
        Split.load(str(tmp_path / "s.yaml"))
    assert "\n" not in str(error.value)


def test_a_misspelt_split_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'eat'"):
        Split.load("eet")


@pytest.mark.parametrize("view", VIEWS)
def test_a_batch_looks_at_no_more_clips_than_it_draws(
    config: DataConfig, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What sorts the clips is done once: batches of a store of any size take the same time."""

    module = MEADDataModule(config, view, 2)
    make = assemble.maker(view, module.store, module.train_clips(), 2, seed=0, size=32)
    looked: list[int] = []
    whole = Columns.clip

    def counted(columns: Columns, number: int) -> StoredClip:
        looked.append(number)
        return whole(columns, number)

    monkeypatch.setattr(Columns, "coded", lambda *_: pytest.fail("the clips are sorted once, not for each batch"))
    monkeypatch.setattr(Columns, "clip", counted)
    for number in range(3):
        make(number)
    assert len(looked) == (12 if view == "hef" else 6)
