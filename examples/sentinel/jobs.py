"""The jobs."""


def work() -> None:
    """Do it."""
