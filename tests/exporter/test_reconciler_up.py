"""An exporter that may only read says so, everywhere, and goes on being read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.diagnosis.coverage import books
from jobtelemetry.diagnosis.endpoints import check_exporter
from jobtelemetry.diagnosis.findings import Level as Severity
from jobtelemetry.exporter.connection import connect
from jobtelemetry.exporter.reconciling import Reconciler
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.exporter.verdict import Level, audit
from jobtelemetry.store.snapshot import Snapshot

Fetch = Callable[..., Any]
Eventually = Callable[..., None]
CONFIG = Config(reconcile_interval=0.05)


def serving(url: str) -> ExporterServer:
    client = connect(url)
    return ExporterServer(client, CONFIG, "127.0.0.1", 0, reconciler=Reconciler(client, CONFIG))


def test_a_reconciler_that_cannot_write_is_told(
    redis_server: EmbeddedServer, fetch: Fetch, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """On the metric, in ``/readyz``, on the page, in its JSON, by the doctor, and once in the log; reading goes on."""
    caplog.set_level(logging.WARNING, "jobtelemetry")
    redis = redis_server.connection()
    allowed = ("+@read", "+@connection", "+@transaction", "+time")
    redis.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", *allowed)
    try:
        with serving(f"unix://reader:pw@{redis_server.socket}") as exporter:
            url = exporter.url
            eventually(lambda: "jobtelemetry_reconciler_up 0.0" in fetch(f"{url}/metrics").text)
            assert "jobtelemetry_up 1.0" in fetch(f"{url}/metrics").text
            ready = fetch(f"{url}/readyz")
            assert ready.status == 200
            assert ready.text.startswith("ok to read; abandoned executions are not counted")
            assert "This exporter cannot count executions whose RQ worker died" in fetch(f"{url}/").text
            assert '"reconciler_problem": "abandoned executions' in fetch(f"{url}/api/v1/status").text
            found = list(check_exporter(url, None, 0.0))
            assert any(one.level is Severity.WARNING and "cannot write" in one.summary for one in found)
            redis.execute_command("ACL", "SETUSER", "reader", "+@all")
            eventually(lambda: "jobtelemetry_reconciler_up 1.0" in fetch(f"{url}/metrics").text)
            assert fetch(f"{url}/readyz").text == "ok\n"
    finally:
        redis.execute_command("ACL", "DELUSER", "reader")
    told = [record for record in caplog.records if "reconciler failed" in record.getMessage()]
    assert len(told) == 1


def test_a_redis_that_is_away_says_nothing_about_writing(tmp_path: Any) -> None:
    """Whether a user may write is not known then, and ``jobtelemetry_up`` says what is wrong."""
    reconciler = Reconciler(connect(f"unix://{tmp_path}/nobody.sock"), CONFIG)
    with pytest.raises(RedisConnectionError):
        reconciler.run()
    assert (reconciler.problem, reconciler.up) == (None, None)


def test_an_exporter_without_one_has_no_figure(redis_server: EmbeddedServer, serve: Any, fetch: Fetch) -> None:
    """Where nothing is tried, nothing is said."""
    assert "\njobtelemetry_reconciler_up " not in fetch(f"{serve(redis_server.url).url}/metrics").text


@pytest.mark.parametrize("difference", [3, -1])
def test_books_that_differ_are_a_blind_spot(cinema: Snapshot, difference: int) -> None:
    """Whichever side has more, nothing is called complete, by the page and by the doctor."""
    snapshot = replace(cinema, accounts_difference=difference)
    verdict = audit(snapshot)
    assert verdict.level is Level.BAD
    assert verdict.headline.startswith(f"Blind spot: the books differ by {abs(difference)} execution")
    assert "omplete" not in verdict.headline
    assert books(snapshot).level is Severity.PROBLEM


def test_lost_counts_are_said_first(cinema: Snapshot) -> None:
    """Before anything else that is wrong: since when, and how many at least."""
    lost = {"counts_lost_at": cinema.taken_at - 60, "counts_lost": 7, "counts_lost_why": "a label set was gone"}
    snapshot = replace(cinema, **lost)
    verdict = audit(replace(snapshot, accounts_difference=2))
    assert verdict.headline.startswith("Blind spot: counts are missing since 2026-")
    assert "at least 7 executions" in verdict.headline
    assert "omplete" not in verdict.headline
