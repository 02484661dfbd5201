"""Stand-ins for CLIP and GPT-2: the same architectures, small, trained on the toy world's captioned images."""
