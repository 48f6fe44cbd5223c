"""Is an environment fit to run? Rules, files of deployments, findings and the report made of them.

Everything here is pure but for the readers of files (`source/`, `example.py`), for
`custom_rule.py`, which imports a project's code, and for `repair.py`, which writes.
"""
