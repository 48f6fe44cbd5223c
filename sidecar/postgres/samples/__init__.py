"""Looks at the database and its server for the probe process."""
