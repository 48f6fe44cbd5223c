"""Services as they stood before, and wired as docs/develop.md says."""
