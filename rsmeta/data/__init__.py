"""Chips in: simulated, from folders, from tables."""

import os

# Else albumentations asks a server for a newer release of itself whenever it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
