"""The networks behind the metrics, one a role, with the SHA-256 of their files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from conventions.errors import UserError
from conventions.files import sha256_of
from metrics.backbones.judges import JudgeFeatures, JudgePerceptual
from metrics.backbones.protocols import (
    EmotionBackbone,
    ExpressionBackbone,
    IdentityBackbone,
    InceptionBackbone,
    LandmarkBackbone,
    PerceptualBackbone,
    SyncBackbone,
    VideoBackbone,
)
from metrics.protocol import USES
from metrics.published import Choice, check_networks, entries, load_entry, missing_networks


@dataclass(frozen=True)
class Networks:
    """The network in each role; a metric whose network is absent has no value."""

    landmarks: LandmarkBackbone | None = None
    emotion: EmotionBackbone | None = None
    identity: IdentityBackbone | None = None
    sync: SyncBackbone | None = None
    fid: InceptionBackbone | None = None
    lpips: PerceptualBackbone | None = None
    fvd: VideoBackbone | None = None
    expression: ExpressionBackbone | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the file in each role."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """For each absent role: what brings it."""

    @classmethod
    def from_judges(cls, judges: Any) -> "Networks":
        """The small networks of a `JudgesModule` (landmark, emotion, identity, sync) in every role they can take."""
        return cls(
            landmarks=judges.landmark,
            emotion=judges.emotion,
            identity=judges.identity,
            sync=judges.sync,
            fid=JudgeFeatures(judges.emotion, judges.identity),
            lpips=JudgePerceptual(judges.identity.trunk, judges.emotion.trunk),
        )

    @property
    def names(self) -> dict[str, str]:
        """Name of the network in each role; roles without one are left out."""
        return {role: network.name for role, network in self.by_role.items()}

    @property
    def by_role(self) -> dict[str, Any]:
        """The network in each role that has one."""
        roles = {f.name: getattr(self, f.name) for f in fields(self) if f.name in USES}
        return {role: network for role, network in roles.items() if network is not None}

    @property
    def stand_ins(self) -> set[str]:
        """Metrics whose values pass through a substitute network: tables mark them."""
        return {metric for role, network in self.by_role.items() if network.stand_in for metric in USES[role]}


def load_networks(
    choice: Choice,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
    judges: Any = None,
    complete: bool = True,
) -> Networks:
    """The networks of a choice, on a device.

    Args:
        choice: `published`, `standin` or a mapping of roles (see `metrics.published`).
        weights: folder of the files; it comes before EMOSPACE_WEIGHTS and the user's cache.
        device: where the networks run; MediaPipe always runs on the CPU.
        judges: the trained `JudgesModule` behind the stand-ins.
        complete: whether a missing network that the choice requires is an error; else its metrics have no value, and
            `missing` has the reason.

    Returns:
        One network for each role.

    Raises:
        UserError: a file is missing or differs from the published one, or a stand-in is chosen without `judges`.
    """
    if complete:
        check_networks(choice, weights, in_run=judges is not None)
    absent = missing_networks(choice, weights)
    chosen = {role: entry for role, entry in entries(choice).items() if role not in absent}
    if any(entry.stand_in for entry in chosen.values()) and judges is None:
        raise UserError("networks: stand-ins are trained by a run; here give published networks (--networks published)")
    substitutes = Networks.from_judges(judges) if judges is not None else Networks()
    found: dict[str, Any] = {}
    sums: dict[str, str] = {}
    for role, entry in chosen.items():
        found[role] = getattr(substitutes, role) if entry.stand_in else load_entry(entry, weights, device)
        path = None if entry.stand_in else entry.path(weights)
        if path is not None:
            sums[role] = sha256_of(path / "model.safetensors" if path.is_dir() else path)
    return Networks(**found, digests=sums, missing=absent)
