"""Sounds alone and images alone: how they are named, prepared, and mixed into batches of AME."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from conventions.errors import UserError
from datamodules.audio import write_audio
from datamodules.catalogue import catalogue
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from datamodules.mixture import MixedData, shares
from datamodules.naming.name import read_labels
from datamodules.prepare import prepare
from datamodules.store import Store


def write_voices(raw: Path) -> Path:
    """RAVDESS's names: neutral, calm, happy (normal), sad (strong), of two actors."""
    noise = np.random.default_rng(0)
    for actor in ("01", "02"):
        for label in ("01-01", "02-01", "02-02", "03-01", "04-02"):
            path = raw / f"Actor_{actor}" / f"03-01-{label}-01-01-{actor}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_audio(path, (0.1 * noise.standard_normal(16000)).astype(np.float32))
    return raw


def write_pictures(raw: Path) -> Path:
    for part in ("train", "validation"):
        for emotion in ("happy", "Sadness", "neutral", "bored"):
            path = raw / part / emotion / "1.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 60), 100, np.uint8)).save(path)
    return raw


def write_labels(path: Path, text: str = "calm: neutral\nbored: contempt 1\n") -> Path:
    path.write_text(text)
    return path


def test_a_label_map_reads_words_that_are_no_emotion_of_ours(tmp_path: Path) -> None:
    raw = write_voices(tmp_path / "voices")
    bare, mapped = catalogue(raw), catalogue(raw, labels=write_labels(tmp_path / "labels.yaml"))
    assert {(r.emotion, r.level) for r in bare.records} == {("neutral", 1), ("happy", 2), ("sad", 3)}
    assert {item.reason for item in bare.left_out} == {"unknown_name"}
    assert len(mapped.records) == 10, "calm of two intensities and neutral do not take each other's names"
    assert not mapped.left_out
    assert {(r.emotion, r.level) for r in mapped.records} == {("neutral", 1), ("happy", 2), ("sad", 3)}


def test_folders_name_emotion_and_part(tmp_path: Path) -> None:
    found = catalogue(write_pictures(tmp_path / "pictures"))
    assert {(r.actor, r.emotion, r.level) for r in found.records} == {
        (part, *label) for part in ("train", "validation") for label in (("happy", None), ("sad", None), ("neutral", 1))
    }
    assert [item.path.parent.name for item in found.left_out] == ["bored", "bored"]


def test_a_speaker_above_the_emotion_is_the_actor(tmp_path: Path) -> None:
    for name in ("0011/Angry/train/0011_000351.wav", "0012/Surprise/0012_001401.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        write_audio(tmp_path / name, np.full(16000, 0.1, np.float32))
    assert [(r.actor, r.emotion, r.level) for r in catalogue(tmp_path).records] == [
        ("0011", "angry", None),
        ("0012", "surprised", None),
    ]


def test_beside_films_sounds_and_pictures_are_no_clips(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / "talk.mp4").touch()
    found = catalogue(tmp_path)
    assert [record.medium for record in found.records] == ["film"]
    assert found.unhandled == {".png": 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calm: relaxed", "calm: 'relaxed' is not an emotion"),
        ("calm: neutral 2", "calm: level '2' must be a whole number from 1 to 1"),
        ("calm: [neutral]", "calm: expected an emotion"),
        ("- calm", "expected a mapping of words to emotions"),
        ("calm: {", "is not valid YAML"),
    ],
)
def test_a_wrong_label_map_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_labels(write_labels(tmp_path / "labels.yaml", text))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[DataConfig]:
    folder = tmp_path_factory.mktemp("unpaired")
    labels = write_labels(folder / "labels.yaml")
    made = {"voices": write_voices(folder / "raw voices"), "pictures": write_pictures(folder / "raw pictures")}
    roles = {"voices": {"train": ["actor_01"], "test": ["actor_02"]}, "pictures": {"train": ["train"], "test": "rest"}}
    configs = []
    for name, raw in made.items():
        prepare(raw, folder / name, size=32, labels=labels)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **roles[name]}))
        split = str(folder / f"{name}.yaml")
        configs.append(DataConfig(str(folder / name), split, image_size=32, clip_frames=30))
    return configs


def test_a_store_of_sounds_and_one_of_pictures(stores: list[DataConfig]) -> None:
    voices, pictures = (Store(config.store) for config in stores)
    assert [c.length for c in voices.clips] == [25] * 10
    assert not any(clip.has_pictures for clip in voices.clips)
    assert all(clip.has_audio and not clip.has_coefficients for clip in voices.clips)
    assert [c.length for c in pictures.clips] == [1] * 8
    assert all(clip.has_pictures and not clip.has_audio for clip in pictures.clips)
    assert np.abs(pictures.frames(pictures.clips[0], [0]).astype(int) - 100).max() <= 2
    voices.verify()
    pictures.verify()


def test_a_mixture_draws_its_shares_from_every_store(stores: list[DataConfig]) -> None:
    data = MixedData([MEADDataModule(config, "ame", 9, seed=3) for config in stores], [2.0, 1.0], 9)
    batch = data.batch_maker()(4)
    assert batch.image.shape == (3, 3, 32, 32)
    assert batch.voice.shape == (6, 120, 80)
    assert batch.voice_rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.image_rows.tolist() == [6, 7, 8]
    assert batch.voice_mask.sum(1).tolist() == [100] * 6
    assert set(batch.level[:6].tolist()) <= {1, 2, 3}
    assert (batch.level[6:] == torch.where(batch.emotion[6:] == 5, 1, torch.where(batch.emotion[6:] == 1, 1, 0))).all()
    again = data.batch_maker()(4)
    assert torch.equal(again.voice, batch.voice)
    assert not torch.equal(data.batch_maker()(5).emotion, batch.emotion)
    [loader] = data.test_dataloader()
    items = list(loader)
    assert sorted((len(item.frames), item.has_audio) for item in items) == [(0, True)] * 5 + [(1, False)] * 4


def test_shares_follow_the_weights_and_none_is_empty() -> None:
    assert shares(48, [1.0, 1.0]) == [24, 24]
    assert sum(shares(10, [8.0, 1.0, 1.0])) == 10
    assert min(shares(5, [1000.0, 1.0])) == 1
    with pytest.raises(UserError, match="1 clips cannot come from 2 stores"):
        shares(1, [1.0, 1.0])
