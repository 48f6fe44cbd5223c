"""For how long something has held without a break: one bad reading is no saturation. Pure."""


def since(started_mono: float | None, now_mono: float, *, holds: bool) -> float | None:
    """Return when the present unbroken stretch began; None when it does not hold now.

    Args:
        started_mono: When it began, as returned last time.
        now_mono: Monotonic time, seconds.
        holds: Whether it holds now.
    """
    if not holds:
        return None
    return now_mono if started_mono is None else started_mono


def lasted_seconds(started_mono: float | None, now_mono: float) -> float:
    """Return the length of the stretch; 0.0 when it does not hold."""
    return 0.0 if started_mono is None else now_mono - started_mono
