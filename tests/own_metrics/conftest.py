"""What a test of own metrics looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import jobtelemetry
from support.nursery import Nursery
from support.proxy import Proxy
from support.servers import TcpServer, tcp_server
from support.stage import Stage, Theatre


@pytest.fixture
def stage(theatre: Theatre) -> Iterator[Stage]:
    """A server without any key, an instrumented producer, and worker processes."""
    with theatre.stage().open() as stage:
        yield stage


@pytest.fixture
def durable(nursery: Nursery, tmp_path: Path) -> Iterator[Stage]:
    """On a server of one's own that keeps what it has acknowledged, whatever happens to it."""
    data = tmp_path / "data"
    data.mkdir()
    with tcp_server(appendonly="yes", appendfsync="always", dir=str(data)) as server:
        with Theatre(server, nursery, tmp_path).stage().open() as stage:
            yield stage
        jobtelemetry.uninstrument()


@pytest.fixture
def proxy(tcp: TcpServer) -> Iterator[Proxy]:
    """Between worker and server."""
    with Proxy(tcp.port) as proxy:
        yield proxy
