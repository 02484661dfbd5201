"""Floor 2: AME, EAC and HEF as LightningModules, and what their training shares."""
