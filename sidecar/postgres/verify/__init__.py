"""Comparing read models with a replay of the log, and stepping through one stream."""
