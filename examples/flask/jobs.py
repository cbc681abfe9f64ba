"""The jobs."""

from jobtelemetry import Cancel


def welcome(address: str) -> None:
    """Write to a new user, unless there is nobody to read it."""
    if address.endswith(".invalid"):
        raise Cancel("no_such_domain", detail=address)
