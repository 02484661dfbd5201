"""What the networks of the metrics give for one video, gathered part by part."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metrics.backbones.videomae import FRAMES as FVD_FRAMES
from metrics.face_clip import FaceClip, Frames, Part, as_images, cut_windows
from metrics.networks import Networks
from metrics.speech_features import FRAMES_PER_WINDOW

SYNC_BATCH = 32


def track(frames: Frames, networks: Networks) -> Float[Tensor, "t 68 2"] | None:
    """Landmarks of every frame by the network of the metrics; None without one."""
    if networks.landmarks is None:
        return None
    with torch.inference_mode():
        return torch.cat([networks.landmarks.landmarks(as_images(part.pictures)).cpu() for part in frames])


class VideoFeatures:
    """Landmarks and features of one video; every tensor ends on the CPU.

    `boxes` [t, 3] are SyncNet's crops in px of the images, for parts that hold no crop of their own; None: no Sync.
    """

    def __init__(self, networks: Networks, device: torch.device | str, boxes: Tensor | None, with_sync: bool) -> None:
        self._networks, self._device, self._boxes, self._with_sync = networks, device, boxes, with_sync
        self._parts: dict[str, list[Tensor]] = {}
        self._sync_tail: list[Tensor] = []
        self._fvd_tail: list[Tensor] = []
        self._start = 0

    def add(self, part: Part, landmarks: Float[Tensor, "t 68 2"] | None) -> Float[Tensor, "t 3 h w"]:
        """Add the next frames, found by the network where their `landmarks` are None; the images on the device."""
        networks, images = self._networks, as_images(part.pictures.to(self._device))
        if landmarks is None:
            landmarks = _found(networks, images)
        points = landmarks.to(self._device)
        self._keep("landmarks", points)
        if networks.emotion is not None:
            features, probabilities = networks.emotion.outputs(images, points)
            self._keep("emotion", features)
            self._keep("probabilities", probabilities)
        if networks.identity is not None:
            self._keep("identity", networks.identity.embed(images, points))
        if networks.fid is not None:
            self._keep("fid", networks.fid.features(images))
        if networks.expression is not None:
            self._keep("expression", networks.expression.coefficients(images, points))
        self._add_video(images)
        self._add_sync(part, images)
        self._start += len(images)
        return images

    def _keep(self, name: str, values: Tensor) -> None:
        self._parts.setdefault(name, []).append(values.detach().float().cpu())

    def _add_video(self, images: Tensor) -> None:
        if self._networks.fvd is None:
            return
        frames = torch.cat([*self._fvd_tail, images])
        whole = len(frames) // FVD_FRAMES * FVD_FRAMES
        if whole:
            self._keep("fvd", self._networks.fvd.features(frames[:whole].unflatten(0, (-1, FVD_FRAMES))))
        self._fvd_tail = [frames[whole:]]

    def _add_sync(self, part: Part, images: Tensor) -> None:
        network = self._networks.sync
        if network is None or not self._with_sync:
            return
        if network.own_crop:
            if part.sync is not None:
                images = as_images(part.sync.to(self._device))
            elif self._boxes is not None:
                images = cut_windows(images, self._boxes[self._start : self._start + len(images)].to(images))
            else:
                return
        frames = torch.cat([*self._sync_tail, images])
        if len(frames) >= FRAMES_PER_WINDOW:
            windows = frames.unfold(0, FRAMES_PER_WINDOW, 1).movedim(-1, 1)
            self._keep("sync", torch.cat([network.video(batch) for batch in windows.split(SYNC_BATCH)]))
        self._sync_tail = [frames[-(FRAMES_PER_WINDOW - 1) :]]

    def get(self, name: str, empty: Sequence[int]) -> Tensor:
        """All values of a kind [t, ...]; a tensor of the shape `empty` where there are none."""
        return torch.cat(self._parts[name]) if name in self._parts else torch.zeros(tuple(empty))

    def has(self, name: str) -> bool:
        """Whether there are values of a kind."""
        return name in self._parts

    def held(self, length: int) -> "VideoFeatures":
        """The features of a video that holds this one's only image: `length` frames, all the same."""
        features = VideoFeatures(self._networks, self._device, None, self._with_sync)
        for name, parts in self._parts.items():
            count = {"sync": length - FRAMES_PER_WINDOW + 1, "fvd": length // FVD_FRAMES}.get(name, length)
            if count > 0:
                features._parts[name] = [parts[0][:1].expand(count, *parts[0].shape[1:])]
        return features


def _found(networks: Networks, images: Tensor) -> Tensor:
    if networks.landmarks is None:
        return images.new_full((len(images), 68, 2), torch.nan)
    return networks.landmarks.landmarks(images)


def source_identity(clip: FaceClip, networks: Networks, device: torch.device | str) -> Float[Tensor, "1 d"] | None:
    """The portrait's identity; None without a portrait or network."""
    if clip.source is None or networks.identity is None:
        return None
    images = as_images(clip.source[:1].to(device))
    points = _found(networks, images) if clip.source_landmarks is None else clip.source_landmarks.to(device)
    return networks.identity.embed(images, points).float().cpu()
