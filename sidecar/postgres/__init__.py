"""Every SQL statement and every connection."""
