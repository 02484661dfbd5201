"""The metric protocol as a whole: a `FaceClip` in, one row of named values for each of its videos, and totals."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from metrics import clip_means, frechet
from metrics.backbones.videomae import FRAMES as FVD_FRAMES
from metrics.face_clip import FaceClip, HeldFrames, Images, Made, Part, as_images, sync_boxes
from metrics.functional.image import PSNR_CEILING, SSIM_WINDOW, frame_psnr, frame_ssim
from metrics.functional.sync import sync_scores
from metrics.networks import Networks
from metrics.protocol import METRIC_NAMES, ROLES, SET_METRICS, Crop, protocol_name
from metrics.reasons import reasons
from metrics.speech_features import FRAMES_PER_WINDOW, loudness, num_windows, sound_windows, voiced
from metrics.video_features import VideoFeatures, source_identity, track

LMD_CROP = 256
"""LMD is given in px of a crop of this size, whatever the frames' own size."""

ScoreRow = dict[str, float | str]
Progress = Callable[[int, int], None]


def metric_classes(networks: Networks) -> dict[str, Metric]:
    """A metric object for each name whose network is there."""
    made: dict[str, Callable[[], Metric]] = {
        "EFD": clip_means.EmotionFeatureDistance,
        "LMD": lambda: clip_means.LandmarkDistance(LMD_CROP, "mouth"),
        "LMD_face": lambda: clip_means.LandmarkDistance(LMD_CROP, "face"),
        "Sync": clip_means.SyncConfidence,
        "SyncDistance": clip_means.SyncDistance,
        "SyncOffset": clip_means.SyncOffset,
        "CSIM": clip_means.IdentitySimilarity,
        "CSIM_source": clip_means.SourceSimilarity,
        "FID": lambda: frechet.InceptionDistance(networks.by_role["fid"].num_features),
        "PSNR": clip_means.FramePSNR,
        "SSIM": clip_means.FrameSSIM,
        "LPIPS": clip_means.FrameLPIPS,
        "EmotionAccuracy": clip_means.EmotionAccuracy,
        "FVD": lambda: frechet.VideoDistance(networks.by_role["fvd"].num_features),
        "EFID": lambda: frechet.ExpressionDistance(networks.by_role["expression"].num_features),
        "LipDynamics": clip_means.LipDynamics,
        "EyebrowDynamics": clip_means.EyebrowDynamics,
        "SilentLips": clip_means.SilentLips,
        "LipSync": clip_means.LipSync,
    }
    assert list(made) == list(METRIC_NAMES)
    here = networks.by_role
    return {name: make() for name, make in made.items() if ROLES.get(name) is None or ROLES[name] in here}


class Suite:
    """The protocol with a choice of networks: one `MetricCollection` for each row of a table.

    Args:
        networks: one for each role; metrics without their network are NaN.
        crop: what the images of the clips show; part of the protocol's name.
        device: where networks and image metrics run.
    """

    def __init__(self, networks: Networks, crop: Crop = "wide-v1", device: torch.device | str = "cpu") -> None:
        self.networks, self.device = networks, torch.device(device)
        self.crop: Crop = crop
        self.collections: dict[str, MetricCollection] = {}
        self.num_clips: dict[str, int] = {}

    @property
    def protocol(self) -> str:
        """The protocol's name."""
        return protocol_name(self.crop)

    @property
    def stand_ins(self) -> set[str]:
        """Metrics whose values depend on a substitute network; tables mark them."""
        return self.networks.stand_ins

    @property
    def backbones(self) -> dict[str, str]:
        """Name of the network in each role; roles without one are left out."""
        return self.networks.names

    def fresh(self) -> "Suite":
        """A suite of the same networks without scores."""
        return Suite(self.networks, self.crop, self.device)

    @torch.inference_mode()
    def score(self, clip: FaceClip, progress: Progress = lambda done, total: None) -> dict[str, ScoreRow]:
        """Score everything that was generated for a clip.

        Args:
            clip: the true clip with its generated rows.
            progress: called with frames done and all frames.

        Returns:
            For each row of `clip.made`: every name of `METRIC_NAMES`, counts of frames, and `why`, the reasons of
                values that are NaN.

        Raises:
            ValueError: generated and true frames differ in number or size.
        """
        for made in clip.made.values():
            _check(clip, made)
        known = self._tracked(clip)
        boxes = None if known is None or not clip.audio.numel() else _boxes(known, clip)
        with_sync = clip.crop != "none" and clip.audio.numel() > 0
        truth = VideoFeatures(self.networks, self.device, boxes, with_sync)
        by_row = {
            row: truth if made.frames is clip.true
            else self._held(clip, made, boxes, with_sync) if isinstance(made.frames, HeldFrames)
            else VideoFeatures(self.networks, self.device, boxes, with_sync)
            for row, made in clip.made.items()
        }  # fmt: skip
        pairs: dict[str, dict[str, list[Tensor]]] = {row: {} for row in clip.made}
        streams = {row: iter(made.frames) for row, made in clip.made.items() if made.frames is not clip.true}
        start = 0
        for part in clip.true:
            span = slice(start, start + len(part.pictures))
            true = truth.add(part, None if known is None else known[span])
            for row, stream in streams.items():
                self._compare(pairs[row], self._add(by_row[row], clip.made[row], next(stream), span), true)
            start = span.stop
            progress(start, len(clip.true))
        return {row: self._row(row, clip, features, truth, pairs[row] or None) for row, features in by_row.items()}

    def unscored(self, clip: str, rows: Sequence[str] = ("per_clip",)) -> dict[str, ScoreRow]:
        """Rows of a clip that cannot be scored.

        Args:
            clip: the reason.
            rows: names of the rows.

        Returns:
            Rows in which every metric is NaN.
        """
        for row in rows:
            self.num_clips[row] = self.num_clips.get(row, 0) + 1
        empty: ScoreRow = dict.fromkeys(METRIC_NAMES, math.nan)
        return {row: {**empty, "frames": 0.0, "frames_without_face": 0.0, "why": f"all: {clip}"} for row in rows}

    def score_clip(
        self,
        generated: Images,
        true: Images,
        audio: Float[Tensor, " samples"],
        source: Images,
        emotion: int | None = None,
        landmarks: Float[Tensor, "t 68 2"] | None = None,
        source_index: int | None = None,
    ) -> ScoreRow:
        """Score one clip in memory as the row `per_clip`; the longer of the two videos is cut.

        Args:
            generated: frames, uint8 or in [-1, 1].
            true: true frames, likewise.
            audio: 16 kHz mono in [-1, 1] from the first frame on; empty where there is none.
            source: the source portrait, for CSIM_source.
            emotion: wanted emotion as an index of `conventions.emotions.EMOTIONS`; None: not known.
            landmarks: of the true frames, (x, y) in [-1, 1]; None: the network of the metrics finds them.
            source_index: number of the true frame that is the portrait itself and does not count; None: none is.

        Returns:
            Every metric, as in `score`.
        """
        length = min(len(generated), len(true))
        points = None if landmarks is None else landmarks[:length]
        clip = FaceClip.from_store(true[:length], points, audio, source[:1], source_index, emotion)
        return self.score(clip.with_generated(generated[:length]))["per_clip"]

    def aggregate(self, rows: Sequence[Mapping[str, float | str]], row: str = "per_clip") -> dict[str, float]:
        """Totals of a row over all clips, of all processes.

        Args:
            rows: the rows of every clip that this process scored.
            row: name of the row.

        Returns:
            Every metric, and counts of clips, frames and missing values over `rows`.

        Raises:
            ValueError: `rows` are not as many as the clips that were scored.
        """
        if len(rows) != (scored := self.num_clips.get(row, 0)):
            raise ValueError(f"{len(rows)} rows, but {scored} clips were scored")
        table: dict[str, float] = {"clips": float(len(rows)), **dict.fromkeys(METRIC_NAMES, math.nan)}
        if row in self.collections:
            table |= {name: float(value) for name, value in self.collections[row].compute().items()}
        for name in METRIC_NAMES:
            if name not in SET_METRICS and (missing := sum(math.isnan(float(one[name])) for one in rows)):
                table[f"{name}_missing"] = float(missing)
        for name in ("frames", "frames_without_face"):
            table[name] = math.fsum(float(one[name]) for one in rows)
        if self.networks.fid is not None and table["frames"] < frechet.ENOUGH_FRAMES:
            logging.getLogger(__name__).warning(
                "FID from %d frames: below %d frames it is biased; compare only rows with the same number of frames",
                table["frames"],
                frechet.ENOUGH_FRAMES,
            )
        return table

    def facts(self, rows: Sequence[Mapping[str, float | str]]) -> dict[str, Any]:
        """What metrics.json holds beside the values: protocol, networks with SHA-256 of their files, counts.

        Args:
            rows: the rows of every clip that this process scored.

        Returns:
            Plain values, ready for JSON.
        """
        trusted = 0.0 if self.networks.sync is None else self.networks.sync.trusted
        here = [n for n in metric_classes(self.networks) if n not in SET_METRICS]
        return {
            "protocol": self.protocol,
            "backbones": self.backbones,
            "networks_sha256": dict(self.networks.digests),
            "stand_ins": sorted(self.stand_ins),
            "clips": len(rows),
            "clips_whose_truth_disagrees": sum(float(row.get("Sync_truth", math.nan)) < trusted for row in rows),
            "clips_with_undefined": sum(any(math.isnan(float(row[n])) for n in here) for row in rows),
        }

    def _tracked(self, clip: FaceClip) -> Tensor | None:
        """Landmarks of the true frames by the network of the metrics; without one, those of the clip."""
        network = self.networks.landmarks
        if network is None or (clip.landmarks is not None and clip.tracked_by == network.name):
            return clip.landmarks
        return track(clip.true, self.networks)

    def _held(self, clip: FaceClip, made: Made, boxes: Tensor | None, with_sync: bool) -> VideoFeatures:
        """The features of one image held still, from as few frames as the networks need."""
        assert isinstance(made.frames, HeldFrames)
        count = FVD_FRAMES if self.networks.fvd is not None else FRAMES_PER_WINDOW if with_sync else 1
        features = VideoFeatures(
            self.networks, self.device, None if boxes is None else boxes[:1].expand(count, -1), with_sync
        )
        features.add(
            made.frames.part.held(count), None if made.landmarks is None else made.landmarks[:1].expand(count, -1, -1)
        )
        return features.held(len(clip.true))

    def _add(self, features: VideoFeatures, made: Made, part: Part, span: slice) -> Tensor:
        """The next generated images, looked at unless they are one image held still."""
        if isinstance(made.frames, HeldFrames):
            return as_images(part.pictures.to(self.device))
        return features.add(part, None if made.landmarks is None else made.landmarks[span])

    def _compare(self, pairs: dict[str, list[Tensor]], generated: Tensor, true: Tensor) -> None:
        """PSNR, SSIM and LPIPS of some frames."""
        pairs.setdefault("psnr", []).append(frame_psnr(generated, true).cpu())
        if min(true.shape[-2:]) >= SSIM_WINDOW:
            pairs.setdefault("ssim", []).append(frame_ssim(generated, true).cpu())
        if self.networks.lpips is not None:
            pairs.setdefault("lpips", []).append(self.networks.lpips.distance(generated, true).float().cpu())

    def _row(
        self,
        row: str,
        clip: FaceClip,
        features: VideoFeatures,
        truth: VideoFeatures,
        pairs: Mapping[str, list[Tensor]] | None,
    ) -> ScoreRow:
        if row not in self.collections:
            self.collections[row] = MetricCollection({**metric_classes(self.networks)}, compute_groups=False)
        observed = self._observed(clip, features, truth, pairs)
        why = reasons(clip, observed, self.networks)
        values = self.collections[row](**observed)
        self.num_clips[row] = self.num_clips.get(row, 0) + 1
        found: ScoreRow = dict.fromkeys(METRIC_NAMES, math.nan)
        found |= {name: _plain(value) for name, value in values.items()}
        lost = (observed["landmarks"] + observed["true_landmarks"]).isnan().flatten(1).any(dim=1)
        found |= {"frames": float(clip.scored.sum()), "frames_without_face": float((lost & clip.scored).sum())}
        found |= self._truth(observed)
        found["why"] = "; ".join(f"{name}: {text}" for name, text in why.items() if math.isnan(float(found[name])))
        return found

    def _observed(
        self, clip: FaceClip, features: VideoFeatures, truth: VideoFeatures, pairs: Mapping[str, list[Tensor]] | None
    ) -> dict[str, Any]:
        """What the metric classes ask for, by the names of their arguments."""
        length = len(clip.true)
        observed: dict[str, Any] = {"scored": clip.scored, "wanted": clip.emotion}
        height, width = clip.true.size
        square = torch.tensor([width, height]) / max(width, height)
        for name in ("landmarks", "emotion", "probabilities", "identity", "fid", "fvd", "expression"):
            for prefix, one in (("", features), ("true_", truth)):
                observed[prefix + name] = one.get(name, (0, 1))
        for name in ("landmarks", "true_landmarks"):
            observed[name] = observed[name] * square
        source = source_identity(clip, self.networks, self.device)
        unknown = observed["identity"].new_full((1, observed["identity"].shape[1]), torch.nan)
        observed["source_identity"] = unknown if source is None else source
        if pairs is None:
            perfect = {"psnr": PSNR_CEILING, "ssim": 1.0, "lpips": 0.0}
            observed |= {name: torch.full((length,), value) for name, value in perfect.items()}
        else:
            nothing = torch.full((length,), torch.nan)
            observed |= {n: torch.cat(pairs[n]) if n in pairs else nothing for n in ("psnr", "ssim", "lpips")}
        observed |= _spoken(clip.audio, length)
        return observed | self._sync(clip, features, truth, observed["voice"])

    def _sync(self, clip: FaceClip, features: VideoFeatures, truth: VideoFeatures, voice: Tensor) -> dict[str, Tensor]:
        """Embeddings of audio and of both videos; none without voice."""
        network = self.networks.sync
        count = num_windows(len(clip.true), len(clip.audio))
        if network is None or count == 0 or not bool(voice.any()) or not features.has("sync"):
            return {name: torch.zeros(0, 1) for name in ("sync_audio", "sync_video", "sync_truth")}
        audio = network.audio(sound_windows(clip.audio, count).to(self.device)).float().cpu()
        videos = [one.get("sync", (0, audio.shape[1]))[:count] for one in (features, truth)]
        return {"sync_audio": audio, "sync_video": videos[0], "sync_truth": videos[1]}

    def _truth(self, observed: Mapping[str, Any]) -> ScoreRow:
        """Confidence and offset of the truth itself: what Sync can be worth here."""
        scores = sync_scores(observed["sync_audio"], observed["sync_truth"])
        return {"Sync_truth": float(scores.confidence), "SyncOffset_truth": float(scores.offset)}


def _spoken(audio: Tensor, length: int) -> dict[str, Tensor]:
    """Loudness and voice of each frame; without audio neither a pause nor a loudness is known."""
    if not audio.numel():
        return {"loudness": torch.full((length,), torch.nan), "voice": torch.ones(length, dtype=torch.bool)}
    return {"loudness": loudness(audio, length), "voice": voiced(audio, length)}


def _plain(value: Any) -> float:
    return float(value) if math.isfinite(float(value)) else math.nan


def _check(clip: FaceClip, made: Made) -> None:
    if len(made.frames) != len(clip.true) or made.frames.size != clip.true.size:
        sides = [f"{len(f)} frames of {f.size[1]} x {f.size[0]} px" for f in (made.frames, clip.true)]
        raise ValueError(f"{sides[0]} against {sides[1]}")


def _boxes(known: Tensor, clip: FaceClip) -> Tensor | None:
    boxes = sync_boxes(known, clip.true.size[1], clip.true.size[0])
    return boxes if bool(boxes.isfinite().all()) else None
