"""One file for each stage of an experiment; each exports one `Stage` object."""
