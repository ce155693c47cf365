"""The backbone that ships inside the package."""
