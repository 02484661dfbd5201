"""The toy world: a small MEAD made from one seed. Speech, faces, emotions and words are all procedural."""
