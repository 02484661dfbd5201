"""The procedural head: a morphable face made by formulas, with BFM09's interface."""
