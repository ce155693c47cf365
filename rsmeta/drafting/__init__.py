"""Drafts of recipes from a look at the user's files."""
