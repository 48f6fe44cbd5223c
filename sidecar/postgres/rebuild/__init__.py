"""Rebuilding read models, and what the swap of a rebuilt copy changes."""
