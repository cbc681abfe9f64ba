"""Where an exporter finds its numbers: over TLS, at a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from jobtelemetry.config import Config
from jobtelemetry.exporter.connection import connect
from jobtelemetry.exporter.reconciling import reconciler
from jobtelemetry.store.keys import Keys
from support.servers import TcpServer, tcp_server
from support.tls import in_front_of

QUICK = Config(reconcile_interval=0.05)


@pytest.fixture
def primary() -> Iterator[TcpServer]:
    """A server with a queue."""
    with tcp_server() as server:
        server.connection().sadd(Keys().queues, Keys().queue("there"))
        yield server


def test_tls_by_url(primary: TcpServer, tmp_path: Path, serve: Callable[..., Any], fetch: Callable[..., Any]) -> None:
    """``rediss://`` with the authority's certificate is read, reconciler included; another authority is none."""
    authority, stranger = trustme.CA(), trustme.CA()
    for name, one in (("ca.pem", authority), ("other.pem", stranger)):
        one.cert_pem.write_to_path(tmp_path / name)
    with in_front_of(primary.port, authority.issue_cert("127.0.0.1")) as port:
        urls = [
            f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={quote(str(tmp_path / name))}"
            for name in ("ca.pem", "other.pem")
        ]
        client = connect(urls[0])
        with serve(client, config=QUICK, reconciler=reconciler(client, QUICK)) as server:
            text = fetch(f"{server.url}/metrics").text
            assert "\njobtelemetry_up 1.0\n" in text
            assert 'jobtelemetry_scheduler_up{queue="there"}' in text
        with serve(urls[1]) as blind:
            assert "\njobtelemetry_up 0.0\n" in fetch(f"{blind.url}/metrics").text
            assert "certificate" in fetch(f"{blind.url}/readyz").text
        client.close()


def test_a_replica_is_read_and_not_reconciled(
    primary: TcpServer, serve: Callable[..., Any], fetch: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    """What the primary has is shown; a reconciler there says that it cannot write, and without one nothing is said."""
    primary.connection().config_set("repl-diskless-sync-delay", 0)
    with tcp_server(replicaof=f"127.0.0.1 {primary.port}") as replica:
        replica.connection().config_set("repl-diskless-sync-delay", 0)
        eventually(lambda: replica.connection().exists(Keys().queues))
        client = connect(replica.tcp_url)
        with serve(client, config=QUICK, reconciler=reconciler(client, QUICK)) as server:
            eventually(lambda: "\njobtelemetry_reconciler_up 0.0\n" in fetch(f"{server.url}/metrics").text)
            assert 'jobtelemetry_scheduler_up{queue="there"}' in fetch(f"{server.url}/metrics").text
            ready = fetch(f"{server.url}/readyz")
            assert (ready.status, ready.text.startswith("ok to read; abandoned executions are not counted")) == (
                200,
                True,
            )
            assert "replica" in ready.text
        # A fail-over: the replica is promoted, and what was the primary becomes its replica.
        promoted = connect(replica.tcp_url)
        with serve(promoted, config=QUICK, reconciler=reconciler(promoted, QUICK)) as server:
            eventually(lambda: "\njobtelemetry_reconciler_up 0.0\n" in fetch(f"{server.url}/metrics").text)
            replica.connection().replicaof("NO", "ONE")
            eventually(lambda: "\njobtelemetry_reconciler_up 1.0\n" in fetch(f"{server.url}/metrics").text)
            assert fetch(f"{server.url}/readyz").text == "ok\n"
        demoted = connect(primary.tcp_url)
        with serve(demoted, config=QUICK, reconciler=reconciler(demoted, QUICK)) as server:
            eventually(lambda: "\njobtelemetry_reconciler_up 1.0\n" in fetch(f"{server.url}/metrics").text)
            primary.connection().replicaof("127.0.0.1", replica.port)
            eventually(lambda: "\njobtelemetry_reconciler_up 0.0\n" in fetch(f"{server.url}/metrics").text)
            eventually(lambda: 'jobtelemetry_scheduler_up{queue="there"}' in fetch(f"{server.url}/metrics").text)
        promoted.close()
        demoted.close()
        with serve(replica.tcp_url) as reading:
            text = fetch(f"{reading.url}/metrics").text
            assert "\njobtelemetry_up 1.0\n" in text
            assert "\njobtelemetry_reconciler_up " not in text
            assert fetch(f"{reading.url}/readyz").text == "ok\n"
        client.close()
