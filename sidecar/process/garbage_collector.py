"""What is made while a process boots stays for good: the collector can leave it alone."""

import gc


def freeze_gc() -> None:
    """Spare what follows the pauses in which the collector looks through all of it."""
    gc.collect()
    gc.freeze()
