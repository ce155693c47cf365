"""Backbones, the cross-spectral patch embedding and the classification head."""
