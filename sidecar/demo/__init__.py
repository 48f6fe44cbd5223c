"""A small shop that shows it all."""
