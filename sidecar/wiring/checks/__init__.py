"""The checks of the probe process, each a small question to what is known in memory."""
