"""The face of a clip: where it is, its crop, its landmarks and its coefficients, frame by frame."""

import dataclasses
import functools
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from conventions.errors import RejectedClip
from conventions.rates import VIDEO_FPS
from datamodules import coefficients as coefficient_files
from datamodules.catalogue import ClipRecord
from datamodules.crop import Window, align, bounds, camera_windows, cut, fixed_crop, lie_about, placement, to_crop
from datamodules.deep3d import Checkpoint, cut_frame, measure, open_network, transform_params
from datamodules.offsets import measure_offset, mouth_opening
from datamodules.prepare_report import Clock
from datamodules.video import DecodedFrame, VideoInfo, iterate_frames, probe
from face3d.camera import CROP_WIDENING, FRAME_SIZE
from face3d.coefficients import EXPRESSION
from face3d.landmarker import Landmarker, find_faces
from face3d.morphable import MorphableModel, load_model

MIN_FRAMES = 10
MAX_FRAMES = 20 * 60 * VIDEO_FPS
"""Shortest and longest usable clip: 0.4 s and 20 minutes."""

MAX_LOST = 0.1
"""Share of frames without a face that is bridged by interpolation; more, and the clip is left out."""
MAX_RIVAL = 0.5
"""Share of frames with a second face of similar size beyond which it is unclear who speaks."""

TRACKING_SIDE = 1920
"""Longer side of the images on which faces are looked for; full HD is quicker to search than to shrink."""

NETWORK_BATCH = 8
"""Frames that Deep3DFaceRecon's network sees at a time."""

JPEG = {"quality": 95, "subsampling": 0}


@dataclass(frozen=True)
class Settings:
    """What decides the content of every part."""

    mode: Literal["mat", "landmarks", "deep3d", "none"]
    """Where coefficients come from."""
    size: int
    """Side of the stored images in pixels."""
    weights: Path | None
    """The face landmarker; None: landmarks come from coefficients alone."""
    fit_model: str = coefficient_files.FIT_MODEL
    """The face model that is fitted to landmarks."""
    fit_file: Path | None = None
    """Its file or folder; None for the model that needs none."""
    deep3d: Checkpoint | None = None
    """The network that measures coefficients where the mode is its own."""


@dataclass(frozen=True)
class Face:
    """Where the face of a clip is, for the frames that are kept."""

    crop: Window
    pictures: list[bytes]
    placement: Float[np.ndarray, "t 3"]
    landmarks: Float[np.ndarray, "t 68 2"] | None
    coefficients: Float[np.ndarray, "t 257"] | None
    model: str | None
    skipped: int = 0
    """Frames at the beginning of the clip that have no coefficients and are left out."""
    row_offset: int | None = None
    """Rows by which the coefficient file begins late, where that was measured."""
    exact: Float[np.ndarray, "t 257"] | None = None
    """The coefficients that a rendered clip was rendered from, where its file states them."""

    def cut(self, first: int, count: int) -> "Face":
        """At most `count` frames from number `first` on."""
        kept = slice(first, first + count)
        names = ("pictures", "placement", "landmarks", "coefficients", "exact")
        arrays = {name: getattr(self, name) for name in names}
        return dataclasses.replace(self, **{k: None if v is None else v[kept] for k, v in arrays.items()})


def _frames(video: Path, frames: range) -> Iterator[DecodedFrame]:
    """Those of a video's 25 fps frames that there are."""
    return itertools.islice(iterate_frames(video), frames.start, frames.stop)


def _check_span(record: ClipRecord, clip: VideoInfo) -> None:
    """A part that a manifest names lies within the video."""
    if record.span is None:
        return
    end = record.span[0] if math.isinf(record.span[1]) else record.span[1]
    if round(end * VIDEO_FPS) > math.ceil(clip.seconds * VIDEO_FPS):
        raise RejectedClip("bad_range", f"{record.video}: lasts {clip.seconds:.2f} s, the part ends at {end:g} s")


def _check_length(record: ClipRecord, length: int) -> None:
    if length < MIN_FRAMES:
        raise RejectedClip("too_short", f"{record.video}: {length} frames")
    if length > MAX_FRAMES:
        raise RejectedClip("too_long", f"{record.video}: more than {MAX_FRAMES / VIDEO_FPS / 60:.0f} minutes")


def _crops(video: Path, frames: range, crop: Window, size: int, clock: Clock) -> tuple[list[int], list[bytes]]:
    """Number of the source frame and JPEG of the crop of each frame."""
    indices, pictures = [], []
    for frame in clock.each("decode", _frames(video, frames)):
        with clock("crop"):
            pictures.append(_jpeg(frame, crop, size))
        indices.append(frame.source_index)
    return indices, pictures


def _jpeg(frame: DecodedFrame, crop: Window, size: int) -> bytes:
    pixels, left, top = frame.region(*bounds(crop, size))
    file = io.BytesIO()
    shifted = (crop[0] - left, crop[1] - top, crop[2])
    Image.fromarray(cut(pixels, shifted, size)).save(file, "JPEG", **JPEG)
    return file.getvalue()


_open_landmarkers: dict[Path, Landmarker] = {}


def _landmarker(weights: Path) -> Landmarker:
    """The landmarker of this process: starting it takes longer than a short clip."""
    if weights not in _open_landmarkers:
        _open_landmarkers[weights] = Landmarker(weights)
    return _open_landmarkers[weights]


def release() -> None:
    """Close this process's networks: MediaPipe complains when the interpreter ends first."""
    open_network.cache_clear()
    while _open_landmarkers:
        _open_landmarkers.popitem()[1].close()


@functools.lru_cache(1)
def open_model(name: str, path: Path | None) -> MorphableModel:
    """The face model of this process: reading one takes longer than fitting a short clip."""
    return load_model(name, path)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread in the block: sums in one order, hence the same bits whatever the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measured_face(record: ClipRecord, settings: Settings, limit: int, clock: Clock) -> Face:
    """The face of a clip whose coefficients and camera windows lie in a `.mat` beside it."""
    if record.coefficients is None:
        raise RejectedClip("no_coefficients", f"{record.video}: no .mat beside it")
    measured = coefficient_files.read_mat(record.coefficients)
    with clock("decode"):
        clip = probe(record.video)
    _check_span(record, clip)
    frames = range(record.first_frame, record.first_frame + limit)
    windows = measured.windows(clip.width, clip.height)
    if not lie_about(windows, clip.width, clip.height):
        raise RejectedClip("bad_coefficients", f"{record.coefficients}: transform_params place no face in the image")
    crop = fixed_crop(windows[_rows_about(record, clip, len(windows))])
    shown, pictures = _crops(record.video, frames, crop, settings.size, clock)
    sources = record.video, record.coefficients
    offset = row_offset(*sources, measured, clip, shown, settings.weights, frames.start, clock)
    rows, skipped = measured.rows(shown, clip, record.coefficients, frames.start, offset or 0)
    _check_length(record, len(rows))
    pictures = pictures[skipped : skipped + len(rows)]
    coefficients, place = measured.coefficients[rows], placement(windows[rows], crop)
    exact = None if measured.exact is None else measured.exact[rows]
    shown_by = coefficients if exact is None else exact
    landmarks = _landmarks_of(measured.model, shown_by, place, pictures, settings, clock)
    return Face(crop, pictures, place, landmarks, coefficients, measured.model, skipped, offset, exact)


def _rows_about(record: ClipRecord, clip: VideoInfo, count: int) -> slice:
    """The rows, or nearly those, of the part of the video that is the clip."""
    if record.span is None:
        return slice(None)
    first, last = (min(1.0, second / clip.seconds) * count for second in record.span)
    return slice(min(math.floor(first), count - 1), math.ceil(last))


def row_offset(
    video: Path,
    sidecar: Path,
    measured: coefficient_files.Measured,
    clip: VideoInfo,
    shown: Sequence[int],
    weights: Path | None,
    first: int = 0,
    clock: Clock | None = None,
) -> int | None:
    """Rows by which a coefficient file begins late, measured where it has not one for each frame; None where it has.

    `shown`: the source frame of each 25 fps frame from number `first` on. RejectedClip where the measure is not sure.
    """
    missing = measured.missing(clip, sidecar)
    if missing == 0:
        return None
    found = f"{sidecar}: {len(measured.coefficients)} rows for {len(measured.coefficients) + missing} frames"
    if weights is None:
        raise RejectedClip("coefficients_mismatch", f"{found}; measuring which are missing needs the face landmarker")
    points, _ = track_landmarks(video, weights, len(shown), clock, first)
    rows = shown if measured.at_source_rate(clip, sidecar) else range(first, first + len(shown))
    offset = measure_offset(mouth_opening(points), measured.coefficients[:, EXPRESSION], rows, missing)
    if offset is None:
        raise RejectedClip("coefficients_mismatch", f"{found}; the mouth does not show which are missing")
    return offset


def _landmarks_of(
    model: str, coefficients: np.ndarray, place: np.ndarray, pictures: list[bytes], settings: Settings, clock: Clock
) -> np.ndarray | None:
    """Landmarks of cropped images: the model's own where it needs no file, else MediaPipe's, else None."""
    if model == coefficient_files.FIT_MODEL:
        with clock("landmarks"), one_thread():
            return coefficient_files.project_keypoints(model, coefficients, place)
    if settings.weights is None:
        return None
    try:
        opened = clock.each("landmarks", (np.asarray(Image.open(io.BytesIO(data))) for data in pictures))
        points = _track(opened, settings.weights, "", clock)
    except RejectedClip:
        return None
    return to_crop(points, (settings.size / 2, settings.size / 2, settings.size / 2))


def track_landmarks(
    video: Path, weights: Path, limit: int, clock: Clock | None = None, first: int = 0
) -> tuple[Float[np.ndarray, "t 68 2"], tuple[int, int]]:
    """Landmarks of at most `limit` frames of a video from `first` on, in pixels, and the images' (width, height).

    `RejectedClip` where there is no face, or two of like size.
    """
    clock = clock or Clock()
    with clock("decode"):
        width, height = next(iterate_frames(video)).size
    pictures = clock.each("decode", (frame.rgb(TRACKING_SIDE) for frame in _frames(video, range(first, first + limit))))
    return _track(pictures, weights, str(video), clock) * _scale(width, height), (width, height)


def tracked_face(record: ClipRecord, settings: Settings, limit: int, clock: Clock) -> Face:
    """The face of a clip as the landmarker sees it; coefficients are fitted to its landmarks."""
    assert settings.weights is not None
    _check_span(record, probe(record.video))
    frames = range(record.first_frame, record.first_frame + limit)
    points, (width, height) = track_landmarks(record.video, settings.weights, limit, clock, frames.start)
    _check_length(record, len(points))
    crop = fixed_crop(camera_windows(align(points, width, height), width, height))
    _, jpegs = _crops(record.video, frames, crop, settings.size, clock)
    landmarks = to_crop(points, crop)
    place = np.tile(np.array([1 / CROP_WIDENING, 0, 0], np.float32), (len(jpegs), 1))
    if settings.mode == "none":
        return Face(crop, jpegs, place, landmarks, None, None)
    with clock("fit"), one_thread():
        fitted = coefficient_files.fit(landmarks, place, open_model(settings.fit_model, settings.fit_file))
    return Face(crop, jpegs, place, landmarks, fitted, settings.fit_model)


def regressed_face(record: ClipRecord, settings: Settings, limit: int, clock: Clock) -> Face:
    """The face of a clip by Deep3DFaceRecon's network: as if a `.mat` of its own lay beside the clip."""
    assert settings.weights is not None
    assert settings.deep3d is not None
    _check_span(record, probe(record.video))
    frames = range(record.first_frame, record.first_frame + limit)
    points, (width, height) = track_landmarks(record.video, settings.weights, limit, clock, frames.start)
    _check_length(record, len(points))
    params = transform_params(points, width, height)
    windows = camera_windows(params, width, height, whole_pixels=True)
    crop = fixed_crop(windows)
    with clock("network"):
        network = open_network(settings.deep3d)
    measured = zip(_frames(record.video, frames), params, windows, strict=True)
    jpegs, coefficients = [], []
    for _ in range(0, len(points), NETWORK_BATCH):
        with clock("decode"):
            batch = list(itertools.islice(measured, NETWORK_BATCH))
        with clock("crop"):
            jpegs += [_jpeg(frame, crop, settings.size) for frame, _, _ in batch]
            pictures = np.stack([_network_picture(*item) for item in batch])
        with clock("network"), one_thread():
            coefficients.append(measure(network, pictures))
    place, landmarks = placement(windows, crop), to_crop(points, crop)
    return Face(crop, jpegs, place, landmarks, np.concatenate(coefficients), coefficient_files.BFM09)


def _network_picture(
    frame: DecodedFrame, params: Float[np.ndarray, "5"], window: Float[np.ndarray, "3"]
) -> UInt8[np.ndarray, "224 224 3"]:
    x, y, half = window.tolist()
    region, left, top = frame.region(*bounds((x, y, half), FRAME_SIZE))
    return cut_frame(region, (left, top), params)


def _scale(width: int, height: int) -> float:
    return max(1.0, max(width, height) / TRACKING_SIDE)


def _track(pictures: Iterable[np.ndarray], weights: Path, name: str, clock: Clock) -> Float[np.ndarray, "t 68 2"]:
    """Landmarks of each image in its own pixels, short gaps interpolated; no face or two are a reason."""
    with clock("landmarks"):
        landmarker = _landmarker(weights)
    found = []
    for picture in pictures:
        with clock("landmarks"):
            found.append(find_faces(landmarker, picture))
    seen = [index for index, faces in enumerate(found) if faces is not None]
    if not seen:
        raise RejectedClip("no_face", f"{name}: no face in any of {len(found)} frames")
    if len(seen) < (1 - MAX_LOST) * len(found):
        raise RejectedClip("face_lost", f"{name}: a face in only {len(seen)} of {len(found)} frames")
    if sum(faces.rival for faces in found if faces is not None) > MAX_RIVAL * len(found):
        raise RejectedClip("two_faces", f"{name}: two faces of similar size")
    points = np.stack([faces.landmarks for faces in found if faces is not None]).reshape(len(seen), -1)
    frames = np.arange(len(found))
    filled = np.stack([np.interp(frames, seen, column) for column in points.T], axis=-1)
    return filled.reshape(len(found), 68, 2).astype(np.float32)
