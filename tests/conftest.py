"""Types and shapes are checked at run time in tests: jaxtyping annotations, enforced by beartype.

Property tests have no time limit: on a busy machine it would be the only thing to fail.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

FLOORS = (
    "conventions",
    "face3d",
    "datamodules",
    "metrics",
    "toyworld",
    "lightning_modules",
    "experiments",
    "ablations",
    "emospace",
)

install_import_hook(list(FLOORS), "beartype.beartype")
settings.register_profile("emospace", deadline=None)
settings.load_profile("emospace")


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: real material is not here")
    return Path(value)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real clips, portraits and faces (EMOSPACE_REAL_DATA), or skip."""
    return _folder("EMOSPACE_REAL_DATA")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """Folder of real weights (EMOSPACE_WEIGHTS), or skip."""
    return _folder("EMOSPACE_WEIGHTS")
