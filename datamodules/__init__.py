"""Floor 1: from raw clips to batches, and the toy MEAD."""
