"""What a service's own tests need."""
