"""Pools, and who waits for or keeps their connections."""
