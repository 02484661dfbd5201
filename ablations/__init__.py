"""Floor 4: the registry of variants, and the paper's tables and figures made from finished runs."""
