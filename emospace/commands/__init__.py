"""One file a command: `EXAMPLE`, `add_arguments(parser)` and `run(options) -> exit code`."""
