"""May traffic come here? Checks, the monitor that asks them, and pure verdicts on the answers."""
