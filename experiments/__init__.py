"""Floor 3: typed configuration, run identity, run folder, runner, sweeps, launchers, tracking."""
