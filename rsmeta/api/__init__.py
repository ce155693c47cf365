"""The Python API, for notebooks and scripts; `import rsmeta as rs` offers all of it, lazily."""
