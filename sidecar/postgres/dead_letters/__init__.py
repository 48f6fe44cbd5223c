"""Dead letters: kept, handled by people, retained and deleted."""
