"""A clock that stands still until a test moves it."""


class Clock:
    """Called, it tells its `seconds`."""

    def __init__(self, seconds: float = 1_000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds
