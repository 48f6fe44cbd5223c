"""Events: the log, event types with their versions, and publishing to subscribers."""
