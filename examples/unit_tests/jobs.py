"""The jobs under test, in an application that is instrumented."""

from rq import Queue

import jobtelemetry
from jobtelemetry import Cancel

jobtelemetry.instrument()


def charge(customer: dict[str, object]) -> None:
    """Charge a customer who has not left."""
    if customer.get("left"):
        raise Cancel("customer_left", detail=str(customer["name"]))


def charge_all(queue: Queue, customers: list[dict[str, object]]) -> None:
    """Enqueue one job for each customer."""
    for customer in customers:
        queue.enqueue(charge, customer)
