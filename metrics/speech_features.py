"""What the metrics take from the audio: the MFCCs of SyncNet, and where a clip has voice.

SyncNet is given 13 MFCCs every 10 ms, 20 of them against 5 frames at 25 fps: those of the package
python_speech_features, with which it was trained: rectangular 25 ms windows, 512-point FFT, 26 filters, pre-emphasis
0.97, lifter 22, log energy as the first coefficient, samples in int16 units. Voice is found by loudness alone, so that
it needs no network.
"""

import math
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from conventions.rates import FRAMES_PER_WINDOW, SAMPLE_RATE, SAMPLES_PER_FRAME, VIDEO_FPS

WINDOW = 400
HOP = 160
FFT = 512
NUM_FILTERS = 26
NUM_MFCC = 13
PREEMPHASIS = 0.97
LIFTER = 22
INT16 = 32768.0

STEPS_PER_WINDOW = 20
STEPS_PER_FRAME = 4


@cache
def mel_filters() -> Float[Tensor, "filters bins"]:
    """Triangles between whole FFT bins, evenly spaced in mel from 0 to 8 kHz; float64."""
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    mels = torch.linspace(0, top, NUM_FILTERS + 2, dtype=torch.float64)
    edges = torch.floor((FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64)
    left, centre, right = (edges[i : i + NUM_FILTERS, None] for i in range(3))
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    return torch.where(bins < centre, rising, falling).clamp(min=0)


@cache
def liftered_cosines() -> Float[Tensor, "mfcc filters"]:
    """Orthonormal DCT-II of the log filter energies with the cepstral lifter applied; float64."""
    k = torch.arange(NUM_MFCC, dtype=torch.float64)[:, None]
    n = torch.arange(NUM_FILTERS, dtype=torch.float64)
    cosines = torch.cos(math.pi * k * (2 * n + 1) / (2 * NUM_FILTERS)) * math.sqrt(2 / NUM_FILTERS)
    cosines[0] /= math.sqrt(2)
    return cosines * (1 + LIFTER / 2 * torch.sin(math.pi * k / LIFTER))


def syncnet_mfcc(waveform: Float[Tensor, " samples"]) -> Float[Tensor, "steps 13"]:
    """MFCCs of 16 kHz mono audio in [-1, 1], one every 10 ms; the last window is filled up with zeros."""
    samples = waveform.double() * INT16
    samples = torch.cat([samples[:1], samples[1:] - PREEMPHASIS * samples[:-1]])
    num_steps = 1 + max(0, math.ceil((len(samples) - WINDOW) / HOP))
    samples = F.pad(samples, (0, max(0, (num_steps - 1) * HOP + WINDOW - len(samples))))
    spectrum = torch.fft.rfft(samples.unfold(0, WINDOW, HOP), n=FFT).abs().square() / FFT
    tiny = torch.finfo(torch.float64).eps
    filtered = spectrum @ mel_filters().T.to(spectrum)
    mfcc = torch.where(filtered == 0, tiny, filtered).log() @ liftered_cosines().T.to(spectrum)
    energy = spectrum.sum(dim=1)
    mfcc[:, 0] = torch.where(energy == 0, tiny, energy).log()
    return mfcc.float()


def num_windows(num_frames: int, num_samples: int) -> int:
    """Windows of a clip, as the official script counts them: it leaves the last possible one out."""
    return max(0, min(num_frames, num_samples // SAMPLES_PER_FRAME) - FRAMES_PER_WINDOW)


def sound_windows(waveform: Float[Tensor, " samples"], count: int) -> Float[Tensor, "n 13 20"]:
    """The 20 MFCC steps that belong to the 5 frames from each of the first `count` frames on."""
    if count == 0:
        return torch.zeros(0, NUM_MFCC, STEPS_PER_WINDOW)
    return syncnet_mfcc(waveform).unfold(0, STEPS_PER_WINDOW, STEPS_PER_FRAME)[:count]


FLOOR_DB = -55.0
"""dB of full scale under which a frame has no voice, whatever the clip's own level."""
BELOW_LOUD_DB = 30.0
"""A frame this much quieter than the clip's loud frames (95th percentile) has no voice."""
LEAST_SILENCE = math.ceil(0.3 * VIDEO_FPS)
"""Frames of a pause that counts as silence: THEval's 300 ms."""


def loudness(audio: Float[Tensor, " samples"], num_frames: int) -> Float[Tensor, " t"]:
    """RMS of the audio of each video frame; 0 beyond its end."""
    samples = torch.zeros(num_frames * SAMPLES_PER_FRAME, dtype=torch.float64)
    length = min(len(samples), len(audio))
    samples[:length] = audio[:length].double()
    return samples.unflatten(0, (-1, SAMPLES_PER_FRAME)).square().mean(dim=1).sqrt().float()


def voiced(audio: Float[Tensor, " samples"], num_frames: int) -> Bool[Tensor, " t"]:
    """Frames with voice; pauses shorter than `LEAST_SILENCE` count as voice."""
    decibels = 20 * loudness(audio, num_frames).clamp(min=1e-8).log10()
    if not num_frames:
        return torch.zeros(0, dtype=torch.bool)
    threshold = max(FLOOR_DB, float(decibels.quantile(0.95)) - BELOW_LOUD_DB)
    loud = decibels > threshold
    return ~_long_runs(~loud) & bool(loud.any())


def _long_runs(mask: Bool[Tensor, " t"]) -> Bool[Tensor, " t"]:
    """The runs of True of at least `LEAST_SILENCE` frames, and those that touch an end of the clip."""
    kept, start = torch.zeros_like(mask), 0
    for value, count in zip(*torch.unique_consecutive(mask, return_counts=True), strict=True):
        at_end = start == 0 or start + int(count) == len(mask)
        kept[start : start + int(count)] = bool(value) and (int(count) >= LEAST_SILENCE or at_end)
        start += int(count)
    return kept
