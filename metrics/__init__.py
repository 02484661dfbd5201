"""Floor 1: one pinned protocol of functional and class metrics, and their backbones."""
