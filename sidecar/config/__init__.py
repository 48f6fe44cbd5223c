"""Is this environment fit to run? Settings, rules, findings and the report made of them.

Everything here is pure but for `environ.py`, which alone reads the process environment, for the
readers of files (`source/`, `sidecar_file.py`, `example.py`), and for `repair.py`, which writes.
"""
