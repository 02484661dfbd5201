"""The protocol's name, metrics and network roles, in a file that needs no torch: tables are built without it."""

from typing import Literal

PROTOCOL = "emospace-metrics-v2"
"""Printed with each table; any change of a number's meaning changes it."""

Crop = Literal["wide-v1", "none"]
"""What the image metrics see: the training crop about the face of the truth, or the whole frame."""


def protocol_name(crop: Crop = "wide-v1") -> str:
    """The protocol's name with a crop: values of two names do not compare."""
    return PROTOCOL if crop == "wide-v1" else f"{PROTOCOL}-whole-frames"


HIGHER_IS_BETTER: dict[str, bool | None] = {
    "EFD": False,
    "LMD": False,
    "LMD_face": False,
    "Sync": True,
    "SyncDistance": False,
    "SyncOffset": None,
    "CSIM": True,
    "CSIM_source": True,
    "FID": False,
    "PSNR": True,
    "SSIM": True,
    "LPIPS": False,
    "EmotionAccuracy": True,
    "FVD": False,
    "EFID": False,
    "LipDynamics": True,
    "EyebrowDynamics": True,
    "SilentLips": True,
    "LipSync": True,
}
"""Which way each metric should move; None: neither (an offset is right at 0)."""

METRIC_NAMES: tuple[str, ...] = tuple(HIGHER_IS_BETTER)

NATURALNESS = ("LipDynamics", "EyebrowDynamics", "SilentLips", "LipSync")
"""THEval's metrics that need landmarks and voice activity only."""

SET_METRICS = frozenset({"FID", "FVD", "EFID"})
"""Values of the whole set of clips; a single clip has none."""

USES = {
    "landmarks": ("LMD", "LMD_face", *NATURALNESS),
    "emotion": ("EFD", "EmotionAccuracy"),
    "identity": ("CSIM", "CSIM_source"),
    "sync": ("Sync", "SyncDistance", "SyncOffset"),
    "fid": ("FID",),
    "lpips": ("LPIPS",),
    "fvd": ("FVD",),
    "expression": ("EFID",),
}
"""Metrics that rest on each network; PSNR and SSIM need none."""

OPTIONAL = frozenset({"fvd", "expression"})
"""Roles that `published` leaves empty where the file is absent."""

ROLES: dict[str, str] = {metric: role for role, metrics in USES.items() for metric in metrics}
"""The role of the network that each metric rests on; metrics without one are left out."""
