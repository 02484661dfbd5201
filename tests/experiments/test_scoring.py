"""What `evaluate` and `references` score: clips, sources, emotions, rows; samples. Metrics by hand where needed."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_stages
import torch
from PIL import Image
from small_training import work
from torch import Tensor
from toy_store import STYLES, write_store

from conventions.errors import UserError
from datamodules.mead import ClipItem, MEADDataModule, Reference
from datamodules.store import StoredClip
from datamodules.video import read_video
from experiments.networks import Networks
from experiments.progress import InterruptedRunError, Interruption
from experiments.run_content import read_columns, write_csv
from experiments.rundir import RunFolder
from experiments.samples import Sample, as_images, flow_images, write_sample
from experiments.scoring import Scoring, chosen_clips, emotion_code, emotion_picture, face_clip
from experiments.stage import StageRun
from face3d.coefficients import split
from face3d.renderer import warp_source
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, RefusedStyle
from lightning_modules.pipeline import driving
from metrics import networks
from metrics.suite import Suite

SIZE = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> MEADDataModule:
    """Four test clips of one actor, each of a style of its own, and one of an unseen emotion."""
    config = write_store(tmp_path_factory.mktemp("scoring"), size=SIZE, unseen=("contempt",))
    return MEADDataModule(config, "hef", 1, 0, SIZE)


def scoring(data: MEADDataModule, folder: Path, interruption: Interruption | None = None) -> Scoring:
    """Scoring by the metrics that need no network."""
    given = work(RunFolder(folder), interruption=interruption)
    return Scoring(given, Networks(folder), data, Suite(networks.Networks()))


def truth(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
    return item.frames


def test_a_row_has_the_labels_and_the_values_of_its_clip(data: MEADDataModule, tmp_path: Path) -> None:
    clips = data.test_clips("basic")
    rows, refused = scoring(data, tmp_path / "run").rows(clips, lambda clip, item, source: -item.frames)
    assert refused == []
    assert [row["id"] for row in rows] == [clip.id for clip in clips]
    for row, clip in zip(rows, clips, strict=True):
        assert (row["actor"], row["emotion"], row["level"]) == (clip.actor, clip.emotion, clip.level)
        frames, source = data.clip_item(clip).frames, data.reference_frame(clip.actor)
        kept = [k for k in range(len(frames)) if (source.clip, source.index) != (clip.id, k)]
        error = frames[kept].square().mean((1, 2, 3))  # of frames that differ by twice their value, over a range of 2
        assert row["PSNR"] == pytest.approx(float((-10 * error.log10()).mean()), abs=0.02)


def test_the_truth_is_perfect_but_the_portraits_own_frame_does_not_count(data: MEADDataModule, tmp_path: Path) -> None:
    clips = data.test_clips("basic")
    rows, _ = scoring(data, tmp_path / "run").rows(clips, truth)
    assert {row["PSNR"] for row in rows} == {100.0}
    source = data.reference_frame(clips[0].actor)
    assert source.clip in {clip.id for clip in clips}
    for clip in clips:
        whole = face_clip(clip, data.clip_item(clip), source)
        assert whole.source_index == (source.index if clip.id == source.clip else None)


def test_only_refused_styles_are_left_out(data: MEADDataModule, tmp_path: Path) -> None:
    clips = data.test_clips("basic")

    def refuses(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
        if clip.emotion == "sad":
            raise RefusedStyle("sad")
        return item.frames

    rows, refused = scoring(data, tmp_path / "run").rows(clips, refuses)
    assert refused == [clip.id for clip in clips if clip.emotion == "sad"]
    assert len(rows) == len(clips) - 1

    def broken(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
        raise UserError("frames.bin is damaged")

    with pytest.raises(UserError, match="is damaged"):
        scoring(data, tmp_path / "run").rows(clips, broken)


def test_a_wish_to_stop_is_met_between_two_clips(data: MEADDataModule, tmp_path: Path) -> None:
    interruption, made = Interruption(), []

    def stop(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
        made.append(clip.id)
        interruption.wanted = True
        return item.frames

    with pytest.raises(InterruptedRunError):
        scoring(data, tmp_path / "run", interruption).rows(data.test_clips("basic"), stop)
    assert len(made) == 1


def test_references_are_the_truth_the_still_portrait_and_the_moved_one(data: MEADDataModule, tmp_path: Path) -> None:
    clips, draw = data.test_clips("basic")[:1], small_stages.face(SIZE)
    rows = scoring(data, tmp_path / "run").references(clips, draw)
    assert set(rows) == {"ground_truth", "copy_source", "warp_source"}
    assert rows["ground_truth"][0]["PSNR"] == 100.0

    def still(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
        return source.image[None].expand(item.frames.shape)

    def moved(clip: StoredClip, item: ClipItem, source: Reference) -> Tensor:
        where = (source.image, source.coefficients, source.placement)
        return warp_source(draw, *where, item.coefficients, item.placement)

    for name, make in (("copy_source", still), ("warp_source", moved)):
        expected, _ = scoring(data, tmp_path / "run").rows(clips, make)
        for metric in ("PSNR", "SSIM"):
            assert rows[name][0][metric] == pytest.approx(expected[0][metric], abs=1e-4), name


def configured(run: StageRun, **changes: Any) -> StageRun:
    """The run with other values of its section `evaluate`."""
    evaluate = dataclasses.replace(run.config.evaluate, **changes)
    return dataclasses.replace(run, config=dataclasses.replace(run.config, evaluate=evaluate))


@pytest.mark.parametrize(("limit", "count"), [(0, 4), (1, 1), (3, 3), (9, 4)])
def test_clips_are_taken_evenly(data: MEADDataModule, tmp_path: Path, limit: int, count: int) -> None:
    run = work(RunFolder(tmp_path / "run")).run
    chosen = chosen_clips(configured(run, max_clips=limit), data)
    everyone = data.test_clips("basic")
    assert len(chosen) == len({clip.id for clip in chosen}) == count
    assert [clip for clip in everyone if clip in chosen] == chosen


def test_the_configuration_names_the_scored_clips(data: MEADDataModule, tmp_path: Path) -> None:
    run = work(RunFolder(tmp_path / "run")).run
    assert [clip.emotion for clip in chosen_clips(configured(run, clips="unseen"), data)] == ["contempt"]
    for kind, role in (("basic", "test"), ("val", "val"), ("unseen", "test")):
        actors = {clip.actor for clip in chosen_clips(configured(run, clips=kind), data)}
        assert actors == {actor for actor in data.store.clips.values("actor") if data.split.role(actor) == role}, kind


def test_the_picture_of_an_emotion_is_never_the_clips_own(
    data: MEADDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = data.test_clips("basic")
    happy = next(clip for clip in clips if (clip.emotion, clip.level) == ("happy", 1))
    with pytest.raises(UserError, match=f"no test clip other than {happy.id} shows happy at level 1"):
        emotion_picture(data, happy, clips)
    mine, theirs = dataclasses.replace(happy, id="a"), dataclasses.replace(happy, id="b", actor="X")
    item, shades = data.clip_item(happy), {"a": 0.25, "b": 0.75}

    def shaded(clip: StoredClip) -> ClipItem:
        return dataclasses.replace(item, frames=torch.full((happy.length, 3, 8, 8), shades[clip.id]))

    monkeypatch.setattr(data, "clip_item", shaded)
    assert float(emotion_picture(data, happy, [happy, mine]).mean()) == 0.25
    assert float(emotion_picture(data, happy, [happy, mine, theirs]).mean()) == 0.75


class Noted(EmotionEncoder):
    """Notes what it was given."""

    modalities = ("text", "image", "audio")

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def code(self, given: Any) -> EmotionCode:
        self.given.append(given)
        return EmotionCode(torch.zeros(1, 512), torch.zeros(1, 64), torch.zeros(1))

    def encode_text(self, texts: Sequence[str]) -> EmotionCode:
        return self.code(list(texts))

    def encode_image(self, images: Tensor) -> EmotionCode:
        return self.code(images)

    def encode_audio(self, mel: Tensor, mask: Tensor) -> EmotionCode:
        return self.code((mel, mask))


def test_an_emotion_is_given_in_the_modality_that_is_asked_for(data: MEADDataModule) -> None:
    clip = next(clip for clip in data.test_clips("basic") if clip.emotion == STYLES[2].emotion and clip.level == 3)
    item, picture, encoder, cpu = data.clip_item(clip), torch.rand(3, SIZE, SIZE), Noted(), torch.device("cpu")
    for modality in Noted.modalities:
        emotion_code(encoder, modality, item, picture, cpu)
    texts, images, (mel, mask) = encoder.given
    assert len(texts) == 1
    assert "happy" in texts[0]
    assert torch.equal(images[0], picture)
    assert torch.equal(mel[0], item.voice)
    assert bool(mask.all())
    assert not math.isnan(float(mel.sum()))


def test_driving_takes_face_from_the_source_and_motion_from_the_clip() -> None:
    true, source, expression = torch.zeros(4, 257), torch.ones(1, 257), torch.full((4, 64), 2.0)
    parts = split(driving(true, source, expression))
    assert parts.identity.eq(1).all()
    assert parts.texture.eq(1).all()
    assert parts.expression.eq(2).all()
    assert parts.angle.eq(0).all()
    assert parts.gamma.eq(0).all()
    assert parts.translation.eq(0).all()
    assert true.eq(0).all()


def test_pictures_keep_their_values() -> None:
    frames = torch.tensor([-1.0, 0.0, 1.0, 3.0])[:, None, None, None].expand(4, 3, 2, 2)
    assert as_images(frames)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


def test_the_colour_wheel_is_white_at_rest_and_turns_with_direction() -> None:
    flow = torch.zeros(3, 2, 4, 4)
    flow[1, 0], flow[2, 0] = 0.25, -0.25
    still, right, left = flow_images(flow)[:, 0, 0].astype(int)
    assert still.tolist() == [255, 255, 255]
    assert right.tolist() == [255, 0, 0]
    assert left.tolist() == [0, 255, 255]


def test_a_sample_is_a_video_with_all_panels_and_a_strip(tmp_path: Path) -> None:
    frames = torch.linspace(-1, 1, 8)[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    sample = Sample(frames[0], frames, frames, frames, torch.zeros(8, 2, 32, 32), torch.zeros(8 * 640))
    write_sample(tmp_path, "M1/front happy", sample)
    assert read_video(tmp_path / "M1_front_happy.mp4").shape == (8, 32, 5 * 32, 3)
    assert np.asarray(Image.open(tmp_path / "M1_front_happy.png")).shape == (5 * 32, 6 * 32, 3)


def test_csv_keeps_values_and_leaves_undefined_cells_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, [{"id": "a", "EFD": 0.125}, {"id": "b", "EFD": float("nan")}])
    assert read_columns(path, ["EFD", "id", "LMD"]) == [("0.125", ""), ("a", "b"), ("", "")]
    assert read_columns(tmp_path / "none.csv", ["id", "EFD"]) == [(), ()]
    path.write_text("id,EFD\na,0.1\nb\n")
    with pytest.raises(UserError, match="the file is damaged; not every row has the 2 cells of the header"):
        read_columns(path, ["id"])
