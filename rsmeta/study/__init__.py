"""Comparisons over methods, settings and seeds, with error bars."""
