"""What is broken, what waits, and tracebacks, from facts made by hand."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.failures import group_failures, shape_of
from jobtelemetry.questions.queues import Tallies, queue_lines, tally_queues
from jobtelemetry.questions.selection import Selection
from jobtelemetry.questions.top import rank
from jobtelemetry.questions.traceback import LONGEST, unpacked
from jobtelemetry.store.snapshot import Counter, QueueState, RQWorkerState, Series, Snapshot

Make = Callable[..., LogEntry]


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("no film 4124", "no film #"),
        ("row 3f7c5d1e-0c9b-4b5e-9d58-0d3a1c3f6b11 is locked", "row # is locked"),
        ("<object at 0x7f6d7911e110>", "<object at #>"),
        ("took 12.5 of 1,000 ms", "took # of # ms"),
        ("the deadbeef cafe is closed", "the deadbeef cafe is closed"),
    ],
)
def test_what_is_particular_to_a_job_is_no_part_of_a_message(message: str, shape: str) -> None:
    """Numbers, ids and addresses do not make two failures different."""
    assert shape_of(message) == shape


def test_failures_are_grouped_and_the_newest_comes_first(entry: Make) -> None:
    """Failures alike are one line with a count, its beginning and end, and the newest as the example."""
    found = group_failures(
        [
            entry("a", State.FAILURE, at=1, error_type="Timeout", message="after 3 s"),
            entry("b", State.DISCARD, at=5, error_type="Timeout", message="after 30 s"),
            entry("c", State.DISCARD, at=9, error_type="KeyError", message="'title 1'"),
            entry("d", State.CANCELLED, at=10, reason="movie_not_matched"),
            entry("e", State.COMPLETED, at=11),
        ]
    )
    assert [(one.error_type, one.message, one.count, one.discards) for one in found] == [
        ("KeyError", "'title 1'", 1, 1),
        ("Timeout", "after # s", 2, 1),
    ]
    assert found[1].example is not None
    assert (found[1].example.job, found[1].last - found[1].first) == ("b", 4.0)


def test_every_fact_can_be_asked_for_and_ranked_by(entry: Make) -> None:
    """Message, attempt, RQ worker, execution, trace, run and wait choose; run, wait and hour group."""
    one = entry(state=State.FAILURE, message="No Film 7", attempt=2, rq_worker="pool-1", execution="x", trace="f" * 32,
                duration=3.0, wait=0.4)  # fmt: skip
    fitting = {"message": "no film", "attempt": 2, "rq_worker": "pool-1", "execution": "x", "trace": "f" * 32}
    for name, value in (fitting | {"min_run": 3.0, "min_wait": 0.4}).items():
        assert one in Selection(**{name: value})
    for name, value in {"message": "nope", "attempt": 1, "rq_worker": "p", "execution": "y", "trace": "0"}.items():
        assert one not in Selection(**{name: value})
    assert one not in Selection(min_run=3.1)
    assert entry(duration=None) not in Selection(min_run=0.1)
    ranked = rank([one], ["run", "wait", "hour", "execution", "trace"]).groups[0].values
    assert ranked == ("<= 5 s", "<= 0.5 s", "2026-02-02 02:00Z", "x", "f" * 32)


def test_a_queue_says_when_it_will_be_empty() -> None:
    """From two readings come the rates; a queue that grows has no end, and one without listeners comes first."""
    series = Series("w", "mail")

    def at(when: float, waiting: int, entered: int, ended: int) -> Snapshot:
        return Snapshot(
            taken_at=when,
            executions={(series, State.COMPLETED): Counter(ended)},
            enqueued={series: Counter(entered)},
            queues=(QueueState("Archive", {"queued": 1}, 5.0), QueueState("mail", {"queued": waiting}, 90.0)),
            rq_workers=(RQWorkerState("one", ("mail", "mail")),),
        )

    archive, mail = queue_lines(at(110.0, 60, 15, 55), tally_queues(at(100.0, 100, 5, 5)))
    assert (archive.state.name, archive.listening, mail.listening) == ("Archive", 0, 1)
    assert (mail.rate_in, mail.rate_out, mail.drained_in) == (1.0, 5.0, 15.0)
    _, growing = queue_lines(at(110.0, 200, 15, 55), tally_queues(at(100.0, 100, 5, 5)))
    assert growing.drained_in is None
    _, unknown = queue_lines(at(110.0, 60, 15, 55))
    assert (unknown.rate_in, unknown.rate_out, unknown.drained_in) == (None, None, None)
    _, anew = queue_lines(at(110.0, 60, 3, 2), Tallies(100.0, {"mail": 50}, {"mail": 40}, {"mail": 60}))
    assert (anew.rate_in, anew.rate_out) == (0.3, 0.2)


@given(st.text(), st.sampled_from(["return_value", "type"]))
def test_a_traceback_comes_out_as_it_went_in(text: str, other: str) -> None:
    """What RQ packed is unpacked, whatever stands beside it."""
    packed = b64encode(zlib.compress(text.encode("utf-8", "replace")))
    reply = [(b"1-0", {other.encode(): b"x", b"exc_string": packed})]
    assert unpacked(reply) == unpacked([reply]) == text.encode("utf-8", "replace").decode().strip()


def test_a_traceback_is_bounded_and_never_an_error() -> None:
    """A huge one keeps its end; what is none of RQ's is nothing."""
    bomb = b64encode(zlib.compress(b"0" * 50_000_000 + b"ValueError"))
    assert len(unpacked([("1-0", {"exc_string": bomb.decode()})])) <= LONGEST + 100
    for broken in (b"no base64!", b64encode(b"not packed"), b"", "ü"):
        assert unpacked([("1-0", {"exc_string": broken})]) == ""
    for nothing in (None, [], [[]], [("1-0", {})], OSError("refused")):
        assert unpacked(nothing) == ""
