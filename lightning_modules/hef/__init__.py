"""HEF: the hierarchical residual flow GAN that turns a portrait, a 3DMM drive and an emotion into frames."""
