"""For how long something has held without a break: one bad reading is no saturation. Pure."""


def since(started_mono: float | None, now_mono: float, *, holds: bool) -> float | None:
    """Return when the unbroken stretch began: as returned last time, or now; None without one."""
    if not holds:
        return None
    return now_mono if started_mono is None else started_mono


def lasted_seconds(started_mono: float | None, now_mono: float) -> float:
    """Return the length of the stretch; 0.0 when it does not hold."""
    return 0.0 if started_mono is None else now_mono - started_mono
