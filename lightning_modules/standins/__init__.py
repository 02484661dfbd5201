"""Small networks trained on the toy world in place of published weights: `priors/` (CLIP, GPT-2) and `judges/`."""
