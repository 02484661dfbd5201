"""The paper's figures from finished runs: one module a figure, listed in `registry`."""
