"""Jobs that measure, in metrics of their own, what they also write into a ledger outside of Redis."""

from __future__ import annotations

import multiprocessing
import os
import threading
from typing import Any

from jobtelemetry import Cancel, Counter, Gauge, Histogram
from support import jobs

TICKETS = Counter("cinema_tickets", "Tickets that were sold.", ["film"])
SEATS = Gauge("cinema_seats", "Seats that are free.")
PRICES = Histogram("cinema_price", "What a ticket costs.", ["film"], unit="euros", buckets=(5, 10, 20))


def sell(number: int = 1, film: str = "Alien", then: str = "return") -> None:
    """Sell tickets, and end as told."""
    jobs.note(f"sold {number}")
    for _ in range(number):
        TICKETS.labels(film).inc()
        PRICES.labels(film=film).observe(7.5)
    SEATS.set(100 - number)
    match then:
        case "fail":
            raise ValueError("no change")
        case "cancel":
            raise Cancel("sold_out")
        case "die":
            os.kill(os.getpid(), 9)
        case "meet":
            jobs.meet()


def sell_once_more(number: int, until: int) -> None:
    """Sell, and fail before the given attempt."""
    TICKETS.labels("Alien").inc(number)
    if jobs.note(f"sold {number}") < until:
        raise ValueError("not yet")


def sell_in_threads(threads: int, each: int) -> None:
    """Every thread sells some."""
    jobs.note(f"sold {threads * each}")

    def sell_some() -> None:
        for _ in range(each):
            TICKETS.labels("Alien").inc()

    running = [threading.Thread(target=sell_some) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def sell_in_processes(processes: int) -> None:
    """Processes that the job forks sell one each."""
    jobs.note(f"sold {processes}")
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=TICKETS.labels("Alien").inc) for _ in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join()


def sold(job: Any, connection: Any, result: Any) -> None:
    """A success callback measures as well."""
    TICKETS.labels("Alien").inc()
