"""What is emitted: metrics, spans and logs."""
