"""Floor 0: coefficients, morphable models, camera, differentiable rasteriser, shading."""
