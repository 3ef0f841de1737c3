"""Training: the loop, checkpoints, the run folder, and what is shown meanwhile."""
