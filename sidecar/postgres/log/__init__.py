"""The log: appending, reading pages, and how far it is safe to read."""
