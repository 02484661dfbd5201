"""Which frame a row of a coefficient file belongs to: measured by the mouth where the counts differ."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

MARGIN = 2
"""Rows beyond those that are missing by which a file may be off."""
FOLDS = 4
"""Parts of a clip; the opening of each is predicted from the others."""
RIDGE = 0.1
"""Penalty, as a share of the coefficients' mean variance."""
SURE = 0.7
"""Least correlation of the measured and the predicted opening."""
LEAD = 0.03
"""Least distance of the best offset's correlation from that of any other."""
LEAST_FRAMES = 40
"""Fewer frames say nothing about 64 coefficients."""


def mouth_opening(landmarks: Float[np.ndarray, "t 68 2"]) -> Float[np.ndarray, " t"]:
    """Distance of the inner lips in units of the distance of the outer eye corners."""
    lips = np.linalg.norm(landmarks[:, 66] - landmarks[:, 62], axis=-1)
    return lips / np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1)


def measure_offset(
    opening: Float[np.ndarray, " t"], expression: Float[np.ndarray, "r d"], rows: Sequence[int], missing: int
) -> int | None:
    """Rows by which a coefficient file begins late: frame i shows row `rows[i] - offset`; None where no offset is sure.

    At each offset, from all `missing` rows lacking at the end to all lacking at the beginning and a little beyond, the
    mouth opening of each part of the clip is predicted from the expression coefficients by ridge regression on the
    other parts; at the right one the prediction agrees with what the landmarks show. No face model is needed.
    """
    places = np.asarray(rows)
    offsets = range(min(missing, 0) - MARGIN, max(missing, 0) + MARGIN + 1)
    common = (places - offsets[0] < len(expression)) & (places - offsets[-1] >= 0)
    if common.sum() < LEAST_FRAMES or opening[common].std() == 0:
        return None
    scores = [agreement(expression[places[common] - offset], opening[common]) for offset in offsets]
    *_, second, best = sorted(scores)
    return offsets[int(np.argmax(scores))] if best >= SURE and best - second >= LEAD else None


def agreement(values: Float[np.ndarray, "t d"], opening: Float[np.ndarray, " t"]) -> float:
    """Correlation of the mouth's opening with its prediction from `values`, each part about its own mean.

    Each quarter is predicted by ridge regression on the others.
    """
    predicted, shown = np.zeros(len(opening)), np.zeros(len(opening))
    for part in np.array_split(np.arange(len(opening)), FOLDS):
        others = np.setdiff1d(np.arange(len(opening)), part)
        given, middle = values[others].astype(np.float64), values[others].mean(0, dtype=np.float64)
        centred = given - middle
        penalty = RIDGE * np.trace(centred.T @ centred) / centred.shape[1] + 1e-12
        weights = np.linalg.solve(
            centred.T @ centred + penalty * np.eye(centred.shape[1]),
            centred.T @ (opening[others] - opening[others].mean()),
        )
        guess = (values[part] - middle) @ weights
        predicted[part], shown[part] = guess - guess.mean(), opening[part] - opening[part].mean()
    scale = np.sqrt(np.sum(predicted**2) * np.sum(shown**2))
    return float(predicted @ shown / scale) if scale > 0 else 0.0
