"""`python -m sidecar` is the command `sidecar`."""

import gc
from importlib import import_module


def main() -> None:
    """Run the command line.

    What it imports stays to the end. To look for garbage in it, meanwhile and at the end, would
    take a third of a short command's time.
    """
    gc.disable()
    command = import_module("sidecar.cli")
    gc.freeze()
    gc.enable()
    command.main()


if __name__ == "__main__":
    main()
