"""The talking face: what a user gives, in the form that the networks take, and frames written as a video."""
