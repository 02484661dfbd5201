"""The talking face: what a user gives, brought into the form that the networks take, and frames brought into a film."""
