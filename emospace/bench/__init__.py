"""What the modules cost: parameters, FLOP, time and memory, counted in one place for the command and benchmarks/."""
