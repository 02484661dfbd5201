"""Finished videos: audio of a file kept as it is, colours that players show alike, transparency, whole or absent."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import Float

from conventions.errors import RejectedClip, UserError
from datamodules.audio import read_audio
from datamodules.video_writer import VideoWriter, video_form

FRAMES = 30


def sound(seconds: float, rate: int, channels: int) -> Float[np.ndarray, "c n"]:
    """A chirp, of another pitch in each channel."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * (200 + 90 * c + 150 * time) * time) for c in range(channels)])


def write_sound(path: Path, samples: np.ndarray, rate: int, layout: str, codec: str, cover: bool = False) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format="rgb24")
            container.mux(picture.encode(frame.reformat(format="yuvj420p")))
            container.mux(picture.encode(None))
        packed = np.ascontiguousarray((samples.T * 32767).astype(np.int16)).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = rate
        for piece in av.AudioResampler(stream.format.name, layout, rate).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def film(path: Path, speech: Path | None, frames: np.ndarray | None = None) -> None:
    pictures = np.zeros((FRAMES, 32, 48, 3), np.uint8) if frames is None else frames
    form = video_form(path, alpha=pictures.shape[-1] == 4)
    with VideoWriter(path, *pictures.shape[1:3], form=form, sound=speech) as writer:
        for picture in pictures:
            writer.add_frames(picture[None])


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def offset(path: Path, original: Path) -> int:
    """Samples at 16 kHz by which the video's audio comes late."""
    made, given = read_audio(path), read_audio(original)
    count = min(len(made), len(given)) - 800
    lags = range(-400, 400, 2)
    return max(lags, key=lambda lag: float(made[400 + lag : count + lag] @ given[400:count]))


@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("mp3", "libmp3lame")])
def test_packets_that_mp4_takes_are_copied(tmp_path: Path, suffix: str, codec: str) -> None:
    speech, out = tmp_path / f"speech.{suffix}", tmp_path / "out.mp4"
    write_sound(speech, sound(1.2, 44_100, 2), 44_100, "stereo", codec)
    film(out, speech)
    assert packets(out) == packets(speech)
    assert abs(offset(out, speech)) <= 32


@pytest.mark.parametrize(
    ("suffix", "rate", "layout", "kept"),
    [
        ("wav", 44_100, "stereo", (44_100, "stereo")),
        ("wav", 48_000, "mono", (48_000, "mono")),
        ("wav", 16_000, "mono", (16_000, "mono")),
        ("flac", 96_000, "stereo", (96_000, "stereo")),
        ("wav", 192_000, "stereo", (96_000, "stereo")),
        ("flac", 48_000, "5.1", (48_000, "5.1")),
        ("flac", 48_000, "7.1", (48_000, "stereo")),
    ],
)
def test_other_sound_keeps_its_rate_and_channels(
    tmp_path: Path, suffix: str, rate: int, layout: str, kept: tuple[int, str]
) -> None:
    speech, out = tmp_path / f"speech.{suffix}", tmp_path / "out.mp4"
    channels = len(av.AudioLayout(layout).channels)
    write_sound(speech, sound(1.2, rate, channels), rate, layout, "flac" if suffix == "flac" else "pcm_s16le")
    film(out, speech)
    with av.open(str(out)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == "aac"
        assert (stream.rate, stream.layout.name) == kept
    assert abs(offset(out, speech)) <= 32


def test_a_cover_picture_is_no_film(tmp_path: Path) -> None:
    speech, out = tmp_path / "speech.mp3", tmp_path / "out.mp4"
    write_sound(speech, sound(1.2, 44_100, 1), 44_100, "mono", "libmp3lame", cover=True)
    film(out, speech)
    assert abs(offset(out, speech)) <= 32
    with av.open(str(out)) as container:
        assert len(container.streams.video) == 1


@pytest.mark.parametrize("late", [0.2, -0.2])
def test_the_sound_of_a_film_keeps_its_time_against_the_picture(tmp_path: Path, late: float) -> None:
    speech, out = tmp_path / "speech.mkv", tmp_path / "out.mp4"
    samples = sound(1.2, 16_000, 1).astype(np.float32)
    with av.open(str(speech), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=25), container.add_stream("aac", rate=16_000, layout="mono")
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index + max(round(-late * 25), 0), Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, round(max(late, 0) * 16_000)
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    film(out, speech)
    assert abs(offset(out, speech)) <= 32


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_colours_are_tagged_and_come_back(tmp_path: Path, suffix: str) -> None:
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [230, 180, 150], [128, 128, 128]], np.uint8)
    picture = colours.repeat(16, 0)[:, None].repeat(32, 1)
    out = tmp_path / f"out{suffix}"
    film(out, None, picture[None].repeat(3, 0))
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert stream.codec_context.color_primaries == stream.codec_context.color_trc == 1
        frame = next(container.decode(stream))
    shown = frame.to_ndarray(format="rgb24")[8::16, 16].astype(int)
    assert np.abs(shown - colours.astype(int)).max() <= 6
    y, u, v = (plane.astype(float)[8 // step :: 16 // step, 16 // step] for plane, step in planes(frame))
    red = 1.164 * (y - 16) + 1.793 * (v - 128)
    green = 1.164 * (y - 16) - 0.213 * (u - 128) - 0.533 * (v - 128)
    assert np.abs(red - colours[:, 0]).max() <= 8, "the matrix of BT.709, as players take it by the tag"
    assert np.abs(green - colours[:, 1]).max() <= 8


def planes(frame: av.VideoFrame) -> list[tuple[np.ndarray, int]]:
    arrays = []
    for plane, step in zip(frame.planes, (1, 2, 2), strict=True):
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
        arrays.append((rows[: plane.height, : plane.width], step))
    return arrays


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_transparency_is_kept(tmp_path: Path, suffix: str) -> None:
    picture = np.full((32, 48, 4), 200, np.uint8)
    picture[..., 3] = np.arange(48) * 5
    out = tmp_path / f"out{suffix}"
    film(out, None, picture[None].repeat(4, 0))
    codec = "libvpx-vp9" if suffix == ".webm" else "prores"
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create(codec, "r")
        decoder.extradata = stream.codec_context.extradata
        frame = next(frame for packet in container.demux(stream) for frame in decoder.decode(packet))
    alpha = frame.to_ndarray(format="rgba")[16, :, 3].astype(int)
    assert np.abs(alpha - picture[0, :, 3]).max() <= 8


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    for name in ("a.gif", "a.avi", "a"):
        with pytest.raises(UserError, match=r"give a file that ends in \.mp4, \.mov, \.webm"):
            video_form(tmp_path / name)


def test_two_writers_of_one_film_each_write_a_whole_one(tmp_path: Path) -> None:
    dark, light = (np.full((FRAMES, 32, 48, 3), level, np.uint8) for level in (10, 240))
    out = tmp_path / "out.mp4"
    with VideoWriter(out, 32, 48) as first, VideoWriter(out, 32, 48) as second:
        for a, b in zip(dark, light, strict=True):
            first.add_frames(a[None])
            second.add_frames(b[None])
    with av.open(str(out)) as container:
        levels = [frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)]
    assert len(levels) == FRAMES
    assert np.ptp(levels) < 5
    assert list(tmp_path.iterdir()) == [out]


def test_sound_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(b"no sound")
    with pytest.raises(RejectedClip):
        film(tmp_path / "out.mp4", tmp_path / "speech.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]
