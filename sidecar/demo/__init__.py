"""A small shop that shows the whole product at work."""
