"""For how long something has held without a break: one bad reading is no saturation. Pure."""


class Stretch:
    """The present unbroken stretch; looks are taken in one after the other."""

    def __init__(self) -> None:
        self._began_mono: float | None = None

    def lasted_seconds(self, now_mono: float, *, holds: bool) -> float:
        """Take a look in and return how long the stretch is; 0.0 when it does not hold now."""
        if not holds:
            self._began_mono = None
        elif self._began_mono is None:
            self._began_mono = now_mono
        return 0.0 if self._began_mono is None else now_mono - self._began_mono
