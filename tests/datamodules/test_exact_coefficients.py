"""Coefficients: exact ones of rendered clips, with which results are compared; and ICT-FaceKit fitted to real faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from conventions.errors import UserError
from datamodules.clip_face import release
from datamodules.coefficients import read_mat
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from datamodules.prepare import prepare
from datamodules.shards import finished_shards
from datamodules.store import EXACT, Store, describe
from face3d.coefficients import EXPRESSION
from face3d.morphable import load_ict

FRAMES = 12
SPLIT = "name: one\ntrain: [M001]\n"


def raw_clips(root: Path, write_clip: Callable, write_mat: Callable, with_exact: int) -> Path:
    """Three clips, the first `with_exact` of which have exact coefficients."""
    for index, emotion in enumerate(("neutral", "happy", "sad")):
        path = root / "M001" / "video" / "front" / emotion / "level_1" / "001"
        write_clip(path, FRAMES, sound="inside")
        if index < with_exact:
            exact = np.random.default_rng(100 + index).normal(0, 0.1, (FRAMES, 257)).astype(np.float32)
            write_mat(path.with_suffix(".mat"), FRAMES, exact=exact, model="procedural-v1")
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable, write_mat: Callable) -> Store:
    folder = tmp_path_factory.mktemp("exact")
    raw = raw_clips(folder / "raw", write_clip, write_mat, 3)
    prepare(raw, folder / "store", coefficients="mat", size=32, look=False)
    return Store(folder / "store")


def module(store: Store, tmp_path: Path, view: str, **changes: str) -> MEADDataModule:
    (tmp_path / "split.yaml").write_text(SPLIT)
    config = DataConfig(str(store.path), str(tmp_path / "split.yaml"), image_size=32, clip_frames=8, **changes)  # type: ignore[arg-type]
    return MEADDataModule(config, view, batch_size=2, resolution=32)  # type: ignore[arg-type]


def test_a_store_holds_both_kinds(store: Store) -> None:
    assert describe(store)["exact_coefficients"]
    assert store.damaged() == []
    assert not np.array_equal(store.exact[:], store.coefficients[:])
    [shard] = finished_shards(store.path)
    parts = [read() for _, read in map(shard.source, range(len(shard.clips)))]
    for clip, part in zip(store.clips, parts, strict=True):
        found = read_mat(store.path.parent / "raw" / clip.source).exact if clip.source.endswith(".mat") else None
        assert found is None or np.array_equal(store.exact[clip.rows], found)
        assert np.array_equal(part.arrays[EXACT], store.exact[clip.rows])


@pytest.mark.parametrize("kind", ["measured", "exact"])
def test_networks_get_the_kind_that_is_asked_for(store: Store, tmp_path: Path, kind: str) -> None:
    rows = (store.coefficients if kind == "measured" else store.exact)[:]
    eac, hef = (module(store, tmp_path, view, coefficients=kind) for view in ("eac", "hef"))
    batch = eac.batch_maker()(0)
    assert all(any(np.array_equal(row, other) for other in rows) for row in batch.coefficients[0].numpy())
    pair = hef.batch_maker()(0)
    assert all(any(np.array_equal(row, other) for other in rows) for row in pair.target_coefficients.numpy())
    found = eac.statistics()
    for moments, vectors in ((found.expression, rows), (found.true_expression, store.exact[:])):
        expressions = torch.from_numpy(vectors[:, EXPRESSION].astype(np.float64))
        assert torch.allclose(moments.mean, expressions.mean(0).float(), atol=1e-5)
        assert torch.allclose(moments.deviation, expressions.std(0, correction=0).float(), atol=1e-5)


def test_results_are_compared_with_the_exact_ones(store: Store, tmp_path: Path) -> None:
    data = module(store, tmp_path, "hef")
    clip = store.clips[1]
    item = data.clip_item(clip)
    assert np.array_equal(item.coefficients, store.coefficients[clip.rows])
    assert np.array_equal(item.exact, store.exact[clip.rows])
    batch = data.reenactment(clip)
    source, target = batch.true_coefficients
    assert not torch.equal(target, batch.target_coefficients)
    assert all(any(np.array_equal(row, other) for other in store.exact) for row in (*source.numpy(), *target.numpy()))


def test_landmarks_are_those_of_the_exact_face(store: Store) -> None:
    from datamodules.coefficients import project_keypoints

    assert store.coefficient_model is not None
    expected = project_keypoints(store.coefficient_model, store.exact[:], store.placement[:])
    np.testing.assert_allclose(store.landmarks[:], expected, atol=1e-5)


def test_without_exact_ones_for_every_clip_there_are_none(
    tmp_path: Path, write_clip: Callable, write_mat: Callable
) -> None:
    raw = raw_clips(tmp_path / "raw", write_clip, write_mat, 0)
    prepare(raw, tmp_path / "store", coefficients="mat", size=32, look=False)
    store = Store(tmp_path / "store")
    assert not store.has_exact
    assert np.array_equal(store.exact, store.coefficients)
    with pytest.raises(UserError, match=r"^data\.coefficients: exact: .* has measured coefficients only"):
        module(store, tmp_path, "eac", coefficients="exact").batch_maker()(0)


def test_a_file_whose_kinds_differ_in_length_is_refused(tmp_path: Path, write_mat: Callable) -> None:
    write_mat(tmp_path / "a.mat", 5, exact=np.zeros((4, 257), np.float32))
    with pytest.raises(Exception, match="exact has 4 rows, the measured coefficients 5"):
        read_mat(tmp_path / "a.mat")


REAL_FRAMES = 100
WATCHED = ("angry", "happy", "surprised", "speaker_1", "speaker_2", "speaker_3", "speaker_4")


@pytest.mark.slow
@pytest.mark.real
def test_ict_follows_real_faces(real_data: Path, real_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mediapipe")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from studies import real_fit

    model = load_ict(real_data / "ict_facekit" / "ict_facekit.npz")
    chosen = [path for path in real_fit.videos(real_data) if path.with_suffix(".mat").is_file()]
    chosen = [path for path in chosen if any(f"{name}_" in f"{path.stem}_" for name in WATCHED)]
    assert len(chosen) == len(WATCHED)
    clips = [real_fit.read_clip(real_data, video, real_weights, REAL_FRAMES) for video in chosen]
    release()
    openings = []
    for clip in clips:
        row, _, opening = real_fit.measure(model, clip)
        assert row["error"] < real_fit.ERROR_BOUND, clip.name
        assert row["landmarks"] > 0.9, clip.name
        assert row["identity"] < 1, "no face beyond what the model's prior calls usual"
        assert row["strength"] < 0.5, "few movements at once"
        openings.append(real_fit.compare(clip, clips, opening)[1])
    assert real_fit.correlation(*torch.cat(openings, dim=1)) >= real_fit.FOLLOWS_BOUND
