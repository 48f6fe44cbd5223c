"""Why something is wrong and what to do: causes as data, and sentences on them. Pure."""
