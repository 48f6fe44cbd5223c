"""Checkpoints: what a projection has applied, what it passed over, and what blocks it."""
