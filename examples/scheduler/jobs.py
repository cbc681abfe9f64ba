"""The jobs."""

from jobtelemetry import Cancel


def sync() -> None:
    """Is run every second."""


def remind(order: int) -> None:
    """Is run once, later."""
    if order > 100:
        raise Cancel("order_paid", detail=f"order {order}")
