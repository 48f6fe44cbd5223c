"""The tables of read models: whose they are, what was done to them, copies and comparisons."""
