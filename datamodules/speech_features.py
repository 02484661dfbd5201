"""Speech features: what EAC receives of each video frame's audio."""

import math
from abc import abstractmethod

import numpy as np
from jaxtyping import Float

from conventions.rates import MEL_BINS, MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS, MFCC_WINDOW
from datamodules.audio import mel, mfcc_windows
from datamodules.config import SpeechForm


class SpeechFeature:
    """Base of the speech features: 25 frames a second, a pure function of the waveform.

    Frame k depends on no audio later than frame `k + look_ahead` and, in a waveform that is cut at a frame which is a
    multiple of `block`, on none earlier than frame `k - k % block - look_behind`. A subclass has a constructor without
    arguments; it states `name`, `shape` and `look_ahead`, and computes.
    """

    name: str
    """Name of the feature, as in `data.speech`."""
    shape: tuple[int, ...]
    """Shape of a frame."""
    look_ahead: int
    """Video frames of audio beyond a frame that its feature needs."""
    look_behind: int | None = None
    """Video frames of audio before a frame's block that its feature needs, a multiple of `block`; None: all of them."""
    block: int = 1
    """Video frames that are computed together."""
    digest: str = ""
    """SHA-256 of the feature's weights; empty where it has none."""

    @abstractmethod
    def __call__(self, waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t *shape"]:
        """Compute the feature.

        Args:
            waveform: 16 kHz mono audio in [-1, 1], float32; silence follows its end.
            num_frames: number of video frames.

        Returns:
            Features of the first `num_frames` video frames, float32.
        """

    def since(self, waveform: Float[np.ndarray, " n"], num_frames: int, first: int) -> Float[np.ndarray, "t *shape"]:
        """Compute the last rows only.

        Args:
            waveform: 16 kHz mono audio in [-1, 1], float32.
            num_frames: number of video frames.
            first: number of the first wanted frame.

        Returns:
            Rows `first` .. `num_frames` of what a call returns.
        """
        return self(waveform, num_frames)[first:]

    @property
    def width(self) -> int:
        """Numbers of a frame."""
        return math.prod(self.shape)

    @property
    def form(self) -> SpeechForm:
        """What a network that receives this feature needs to be built."""
        return SpeechForm(self.name, self.shape, self.digest)


class MFCC(SpeechFeature):
    """MFCC windows (`datamodules.audio.mfcc_windows`): 12 steps of 10 ms on either side, and the 25 ms window."""

    name, shape = "mfcc", (MFCC_WINDOW, MFCC_COEFFICIENTS)
    look_ahead = look_behind = 4

    def __call__(self, waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t 28 13"]:
        """MFCC windows, unnormalised."""
        return mfcc_windows(waveform, num_frames)


class Mel(SpeechFeature):
    """Log-mel in dB (`datamodules.audio.mel`), four columns of 10 ms for each frame."""

    name, shape = "mel", (MEL_STEPS_PER_FRAME, MEL_BINS)
    look_ahead = look_behind = 1

    def __call__(self, waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t 4 80"]:
        """Log-mel columns by frame."""
        return mel(waveform, num_frames).reshape(num_frames, *self.shape)
