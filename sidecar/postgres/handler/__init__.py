"""The connection that handlers write through."""
