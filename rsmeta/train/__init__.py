"""Training: the Lightning module, the trainer and the making of the embedded backbone."""
