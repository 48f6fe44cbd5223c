"""Why, and what to do: causes as data, and the sentences that tell them. Pure."""
