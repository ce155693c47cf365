"""Chips in: simulated, from folders, from tables."""
