"""Losses and metrics for class counts with a long tail."""
