"""Is this environment fit to run? Settings, rules, findings and the report made of them.

Everything here is pure but for `environ.py`, which alone reads the process environment, and for the
two small readers of the repository's own files (`sidecar_file.py`, `example.py`).
"""
