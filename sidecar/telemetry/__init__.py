"""What is told to the outside: metrics, spans and logs."""
