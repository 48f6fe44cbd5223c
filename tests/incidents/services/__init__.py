"""Services as they stood before, and wired as the README says."""
