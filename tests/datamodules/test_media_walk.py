"""Random odd media files: what is read is what FFmpeg decodes, laid by its times; what is not is one line."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_media import set_matrix

from conventions.errors import RejectedClip
from datamodules.audio import read_audio
from datamodules.video import read_video

RATE = 16000
JITTER = 24
"""Samples by which times are rounded: Matroska counts milliseconds."""
WINDOW = 1600
SOUNDS = {"mp4": ("aac",), "mkv": ("aac", "flac", "pcm_s16le", "libopus"), "mov": ("aac", "pcm_s16le"), "ts": ("aac",)}
PICTURES = {"mp4": ("libx264", "mpeg4"), "mkv": ("libx264", "ffv1", "mpeg4"), "mov": ("libx264",), "ts": ("libx264",)}
MATRICES = ((1, 0, 0, 1), (-1, 0, 0, 1), (0, 1, -1, 0), (0, 1, 1, 0), (1, 0, 0, -1))

pytestmark = pytest.mark.filterwarnings("ignore::conventions.errors.MediaWarning")


def write_odd(folder: Path, random: np.random.Generator) -> Path:
    """A file of a second or so with random codecs, rates, channels, pixels, matrix, offsets and packets left out."""
    kind = str(random.choice(list(SOUNDS)))
    path = folder / f"odd {random.integers(10**9)}:{kind}.{kind}"
    lost = float(random.uniform(0.2, 0.6)) if random.random() < 0.4 else 9.0
    with av.open(f"file:{path}", "w") as container:
        video = container.add_stream(str(random.choice(PICTURES[kind])), rate=int(random.choice([24, 25, 30, 50])))
        video.width, video.height = int(random.choice([32, 48])), 32
        video.pix_fmt = "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(int(random.choice([1, 1, 2])), 1)
        codec = str(random.choice(SOUNDS[kind]))
        layout = str(random.choice(["mono", "stereo", "5.1"]))
        audio = container.add_stream(codec, rate=48000 if codec == "libopus" else RATE, layout=layout)
        packets = _picture_packets(video) + _sound_packets(audio, random)
        shift = float(random.choice([0.0, 0.0, 0.3]))
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if packet.stream is audio:
                packet.pts, packet.dts = (value + round(shift / packet.time_base) for value in (packet.pts, packet.dts))
                if lost < packet.pts * packet.time_base < lost + 0.25:
                    continue
            container.mux(packet)
    if kind in ("mp4", "mov") and random.random() < 0.5:
        set_matrix(path, MATRICES[random.integers(len(MATRICES))])
    return path


def _picture_packets(stream) -> list:
    packets = []
    for number in range(int(stream.codec_context.framerate or 25)):
        pixels = np.zeros((stream.height, stream.width, 3), np.uint8)
        pixels[:, : 4 + number % 16] = 200
        pixels[:8, :8] = (10 * number % 250, 50, 120)
        packets += stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
    return packets + stream.encode(None)


def _sound_packets(stream, random: np.random.Generator) -> list:
    time = np.arange(stream.rate) / stream.rate
    count = stream.codec_context.layout.nb_channels
    gains = random.uniform(0.2, 0.9, count)
    values = gains[:, None] * np.sin(2 * np.pi * (300 * time + 250 * time**2))[None]
    packets = []
    for at in range(0, stream.rate, 1024):
        piece = np.ascontiguousarray(values[:, at : at + 1024], np.float32)
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=stream.codec_context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, at, Fraction(1, stream.rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def decoded(path: Path) -> tuple[list, list]:
    """FFmpeg's own frames of both kinds."""
    with av.open(f"file:{path}") as container:
        pictures = list(container.decode(container.streams.video[0]))
    with av.open(f"file:{path}") as container:
        return pictures, list(container.decode(container.streams.audio[0]))


def expected_sound(sounds: list, start: float) -> np.ndarray:
    """The mean of the channels at 16 kHz, each frame placed by its time stamp; earlier frames take precedence."""
    rate = sounds[0].sample_rate
    end = round((sounds[-1].time - start) * rate) + sounds[-1].samples
    track = np.zeros(max(end, 0))
    for frame in reversed(sounds):
        values = frame.to_ndarray().astype(np.float64)
        values = values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T
        if frame.format.name.startswith("s"):
            values /= 2.0 ** (8 * frame.format.bytes - 1)
        at = round((frame.time - start) * rate)
        piece = values.mean(axis=0)[max(-at, 0) :]
        track[max(at, 0) : max(at, 0) + len(piece)] = piece
    return track[:: rate // RATE]


def check_sound(path: Path, sounds: list, start: float) -> None:
    read, expected = read_audio(path), expected_sound(sounds, start)
    assert abs(len(read) - len(expected)) <= 200
    for begin in range(JITTER, min(len(read), len(expected)) - JITTER - WINDOW, WINDOW):
        window = expected[begin : begin + WINDOW]
        if np.linalg.norm(window) > 0.1 * np.linalg.norm(expected):
            pieces = [read[begin + lag : begin + lag + WINDOW] for lag in range(-JITTER, JITTER + 1)]
            assert min(np.linalg.norm(piece - window) for piece in pieces) < 0.4 * np.linalg.norm(window)


def check_pictures(path: Path, pictures: list) -> None:
    read = read_video(path)
    times = np.array([frame.time - pictures[0].time for frame in pictures])
    step = float(np.median(np.diff(times)))
    assert abs(len(read) - (times[-1] + step) * 25) <= 1
    plain = pictures[0].rotation == 0 and read.shape[1:3] == (pictures[0].height, pictures[0].width)
    for tick, shown in enumerate(read):
        near = np.flatnonzero(np.abs(times - tick / 25) <= np.abs(times - tick / 25).min() + 1e-3)
        if plain and pictures[0].side_data.get("DISPLAYMATRIX") is None:
            found = [np.abs(shown.astype(int) - pictures[index].to_ndarray(format="rgb24")).max() for index in near]
            assert min(found) <= 3


def walk(folder: Path, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(count):
        path = write_odd(folder, random)
        pictures, sounds = decoded(path)
        check_sound(path, sounds, min(frame.time for frame in pictures))
        check_pictures(path, pictures)
        content = bytearray(path.read_bytes())
        damaged = folder / f"damaged{path.suffix}"
        for place in random.integers(0, len(content), 6):
            content[place] = random.integers(256)
        damaged.write_bytes(content[: random.integers(len(content))] if random.random() < 0.3 else content)
        for read in (read_audio, read_video):
            try:
                found = read(damaged)
            except RejectedClip as error:
                line = str(error)
                assert line.startswith(str(damaged))
                assert "\n" not in line
            else:
                assert np.isfinite(found).all()
        path.unlink()


def test_some_odd_files(tmp_path: Path) -> None:
    walk(tmp_path, 12, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_hundred_odd_files(tmp_path: Path, seed: int) -> None:
    walk(tmp_path, 100, seed)


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    """A text that names other files or addresses is no media file."""
    for text in (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "ffconcat version 1.0\nfile b.mp4\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(RejectedClip):
            read_video(tmp_path / "list.mp4")
