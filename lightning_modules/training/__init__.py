"""What the stages share: the stage base, per-batch seeding, optimisers, adversarial steps, averages, checkpoints."""
