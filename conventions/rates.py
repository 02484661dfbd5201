"""The clock of the house: 25 frames and 16,000 samples a second, 640 samples a frame."""

VIDEO_FPS = 25
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // VIDEO_FPS

MEL_BINS = 80
MEL_STEPS_PER_FRAME = 4
"""10 ms hop: four mel columns for each video frame."""

FRAMES_PER_WINDOW = 5
"""Frames that SyncNet and its stand-ins compare with their audio at once."""

MFCC_WINDOW = 28
MFCC_COEFFICIENTS = 13
"""EAMM's layout: a window of 28 steps (10 ms hop) x 13 coefficients centred on each video frame."""
