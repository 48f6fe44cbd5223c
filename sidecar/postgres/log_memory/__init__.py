"""What is remembered of the log, so that a lost end is noticed."""
