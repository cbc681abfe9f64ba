"""``deploy mark``, ``deploy list`` and ``compare --deploy``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.outcomes import State
from jobtelemetry.questions.compare import around_deploy
from jobtelemetry.questions.names import UnknownNameError
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.snapshot import Deploy

Cli = Callable[..., Any]
Record = Callable[..., str]


def test_before_and_after_a_deploy(cli: Cli, record: Record) -> None:
    """What ended before the mark is compared with what ended after it, and the answer names the deploy."""
    record(State.COMPLETED, 200)
    assert cli("deploy", "mark", "v1").out == "Marked: v1 runs from now on.\n"
    record(State.COMPLETED, 100)
    record(State.DISCARD, 100, error_type="KeyError")
    assert "--again" in cli("deploy", "mark", "v1").out
    assert cli("deploy", "mark", "v2", "--by", "rollback of v1").code == 0
    record(State.COMPLETED, 50)
    newest = cli("compare", "--deploy")
    assert "the deploy of v2" in newest.err
    assert "Before has other deploys in it: v1." in newest.err
    said = cli("compare", "--deploy", "v1", "--json")
    (found,) = map(json.loads, said.lines)
    assert (found["before"]["n"], found["after"]["n"], found["verdict"]) == (200, 200, "lower")
    rows = cli("deploy", "list").rows
    assert [(row["version"], row["by"]) for row in rows] == [("v2", "rollback of v1"), ("v1", "")]
    assert json.loads(cli("deploy", "list", "--json").lines[0])["version"] == "v2"


def test_an_unknown_deploy_is_an_error_that_says_which_there_are(cli: Cli, server: EmbeddedServer) -> None:
    """Without any it says how to mark one; with some it names them; an empty version is refused."""
    assert "jobtelemetry deploy mark" in cli("compare", "--deploy").err
    cli("deploy", "mark", "v1")
    said = cli("compare", "--deploy", "v7")
    assert (said.code, "there is v1" in said.err) == (2, True)
    assert cli("deploy", "mark", " ").code == 2
    server.connection().delete(Keys().deploys)
    assert "No deploy is marked" in cli("deploy", "list").err


def test_the_newer_stretch_ends_with_the_next_deploy() -> None:
    """A version is judged by the time in which it ran, or by a part of that."""
    now = time.time()
    marks = (Deploy("a", now - 900), Deploy("b", now - 600), Deploy("c", now - 300))
    stretches = around_deploy(marks, "b", 400)
    assert (stretches.begin, stretches.split, stretches.end) == (now - 1000, now - 600, now - 300)
    assert stretches.earlier == marks[:1]
    assert around_deploy(marks, "b", 400, 60).end == now - 540
    assert around_deploy(marks, "", 100).end == float("inf")
    with pytest.raises(UnknownNameError, match="no deploy of 'd' is marked; there is c, b, a"):
        around_deploy(marks, "d", 400)
