"""A clock that tests move."""


class Clock:
    """Stands still but for what is added to `now`, in seconds."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now
