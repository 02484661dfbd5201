"""Media files with odd layouts, times and geometry, written by the tests themselves."""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FORMATS = {
    "u8": (1, 8, np.uint8),
    "s16": (1, 16, np.int16),
    "s24": (1, 24, None),
    "s32": (1, 32, np.int32),
    "f32": (3, 32, np.float32),
    "f64": (3, 64, np.float64),
}
"""WAVE's format tag, bits and NumPy type of each sample format."""


def write_wav(path: Path, channels: np.ndarray, kind: str = "s16", rate: int = 16000) -> None:
    """`channels` [c, n] in [-1, 1) as a WAV file of a sample format."""
    tag, bits, _ = FORMATS[kind]
    count, data = len(channels), _samples(channels.T.reshape(-1), kind)
    head = struct.pack("<HHIIHH", tag, count, rate, rate * count * bits // 8, count * bits // 8, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def _samples(values: np.ndarray, kind: str) -> bytes:
    if kind.startswith("f"):
        return values.astype(FORMATS[kind][2]).tobytes()
    if kind == "u8":
        return np.clip(np.round(values * 128) + 128, 0, 255).astype(np.uint8).tobytes()
    if kind == "s24":
        whole = np.clip(np.round(values * 2.0**23), -(2**23), 2**23 - 1).astype("<i4")
        return whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    most = 2.0 ** (FORMATS[kind][1] - 1)
    return np.clip(np.round(values * most), -most, most - 1).astype(FORMATS[kind][2]).tobytes()


def write_sound(
    path: Path, waveform: np.ndarray, codec: str = "pcm_s16le", rate: int = 16000, start: float = 0.0,
    keep: Callable[[float], bool] = lambda time: True, move: Callable[[float], float] = lambda time: time,
) -> None:  # fmt: skip
    """Mono audio whose packets are left out unless `keep(time)`, and moved to `move(time)` (s)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        _mux_sound(container, stream, waveform, rate, start, keep, move)


def _mux_sound(container, stream, waveform, rate, start, keep, move) -> None:
    size = stream.codec_context.frame_size or 320
    kind = {"pcm_s16le": "s16", "libopus": "flt"}.get(stream.codec_context.name, "fltp")
    packets = []
    for at in range(0, len(waveform), size):
        values = waveform[None, at : at + size].astype(np.float32)
        if kind == "s16":
            values = np.clip(np.round(values * 32768), -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values, format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        packets += stream.encode(frame)
    for packet in [*packets, *stream.encode(None)]:
        time = float(packet.pts * packet.time_base)
        if keep(time):
            packet.pts = packet.dts = round((move(time) + start) / packet.time_base)
            container.mux(packet)


def write_pictures(
    path: Path, times: Sequence[float], waveform: np.ndarray | None = None, start: float = 0.0, size: int = 32
) -> None:
    """Lossless video whose frame i is grey 10 + 2 i and shown at times[i] s, in any order; PCM audio from `start`."""
    tick = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.width = stream.height = size
        stream.pix_fmt, stream.codec_context.time_base = "bgr0", tick
        stream.options = {"g": "1"}
        sound = None if waveform is None else container.add_stream("pcm_s16le", rate=16000, layout="mono")
        packets = []
        for number, time in enumerate(times):
            grey = np.full((size, size, 3), 10 + 2 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = number, tick
            packets += [(packet, time) for packet in stream.encode(frame)]
        for number, (packet, time) in enumerate(packets):
            packet.pts, packet.dts, packet.time_base = round(time * 1000), number - len(packets), tick
            container.mux(packet)
        if sound is not None:
            _mux_sound(container, sound, waveform, 16000, start, lambda time: True, lambda time: time)


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a display matrix (a, b, c, d) into the first track of an mp4."""
    content = bytearray(path.read_bytes())
    at = content.find(b"tkhd") + 4 + 4 + 16 + 4 + 8 + 8
    a, b, c, d = matrix
    content[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
