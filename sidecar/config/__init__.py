"""What is this process given? Its environment, settings, secrets and `sidecar.toml`.

Everything here is pure but for `environ.py`, which alone reads the process environment, and for
the readers of files (`mount.py`, `dotenv.py`, `sidecar_file.py`, `token_file.py`).
"""
