"""A clock that changes only when a test moves it."""


class Clock:
    """A callable that returns its `seconds`."""

    def __init__(self, seconds: float = 1_000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds
