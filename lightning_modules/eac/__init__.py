"""EAC: from speech and an emotion to expression coefficients."""
