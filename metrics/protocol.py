"""The protocol's name and its metrics, in a file that needs no torch: tables are built without it."""

PROTOCOL = "emospace-metrics-v1"
"""Printed with every table; any change of a number's meaning changes it."""

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
}
"""Which way each metric should move; None: neither (an offset is right at 0)."""

METRIC_NAMES: tuple[str, ...] = tuple(HIGHER_IS_BETTER)

USES = {
    "landmarks": ("LMD", "LMD_face"),
    "emotion": ("EFD", "EmotionAccuracy"),
    "identity": ("CSIM", "CSIM_source"),
    "sync": ("Sync", "SyncDistance", "SyncOffset"),
    "inception": ("FID",),
    "perceptual": ("LPIPS",),
}
"""Metrics that rest on each backbone; PSNR and SSIM need none."""

ROLES: dict[str, str] = {metric: role for role, metrics in USES.items() for metric in metrics}
"""The role of the network that each metric rests on; metrics without one are left out."""
