"""Fixtures for real servers and real worker processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from packaging.specifiers import SpecifierSet
from rq import VERSION

pytest.register_assert_rewrite("support.stage")

import jobtelemetry  # noqa: E402
from support.nursery import Nursery  # noqa: E402
from support.servers import TcpServer, tcp_server  # noqa: E402
from support.stage import Theatre  # noqa: E402

# A slow machine is no finding.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# A shell's background jobs have SIGINT ignored, and what we start would inherit that: no Ctrl-C could be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what is not about this RQ; a skip would look as if something were missing."""
    here: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        about = (SpecifierSet(mark.args[0], prereleases=True) for mark in item.iter_markers("rq"))
        (here if all(VERSION in versions for versions in about) else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = here


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """The process that worker processes are forked from; none outlives the session."""
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def tcp() -> Iterator[TcpServer]:
    """A real server on a unix socket and a free TCP port, one per module."""
    with tcp_server() as server:
        yield server


@pytest.fixture
def theatre(tcp: TcpServer, nursery: Nursery, tmp_path: Path) -> Iterator[Theatre]:
    """A server without any key, and worker processes that all end with the test."""
    tcp.start()
    tcp.client().flushall()
    yield Theatre(tcp, nursery, tmp_path)
    jobtelemetry.uninstrument()
    nursery.clear()
