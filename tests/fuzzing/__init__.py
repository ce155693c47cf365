"""Damaged and hostile input: recipes, run folders and GeoTIFFs, case by case, repeatable by seed.

A case is good if it succeeds or raises an error class of `rsmeta.errors` with a printable message.
All else is a finding: another exception, a crash or hang of the process, a file written where none
belongs, a process started.
"""
