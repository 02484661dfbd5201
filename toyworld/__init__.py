"""The toy world: a small MEAD made from one seed. Speech, faces, emotions and words are all procedural."""

import hashlib

import numpy as np


def rng_of(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one named purpose, such as `rng_of(seed, "voice", "M001")`.

    What is drawn for one thing never depends on how many other things were made before it.
    """
    text = "/".join(str(name) for name in names).encode()
    digest = hashlib.sha256(text).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], np.uint32).tolist()])
