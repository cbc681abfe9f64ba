"""The jobs."""

from django_rq import job

from jobtelemetry import Cancel


@job
def send_receipt(order: int) -> None:
    """Orders below 100 were made by the tests."""
    if order < 100:
        raise Cancel("test_order")
