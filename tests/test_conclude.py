"""What is concluded of an execution whose end nobody reported: every combination of facts, judged by rules in words.

The rules here are written independently of :func:`jobtelemetry.outcomes.conclude`: a list of sentences, the first of
which that applies decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest

from jobtelemetry.outcomes import Found, State, conclude

ASKED = ("abandoned", "exited", "performed")
WAITING = ("queued", "scheduled", "deferred", "rate_limited")
STATUSES = ("", *WAITING, "started", "finished", "failed", "stopped", "canceled", "unheard of")
TOLD = (None, *State)
BOOLS = (False, True)

#: RQ's final statuses, and how an execution ended that left a job in one.
FINAL = {
    "finished": State.COMPLETED,
    "failed": State.DISCARD,
    "stopped": State.STOPPED,
    "canceled": State.CANCELLED,
}

Verdict = tuple[State, str, str, bool] | None
Rule = tuple[str, Callable[[Found], bool], Callable[[Found], Verdict]]


def error_type(f: Found) -> str:
    """Of what it failed, as far as anybody knows; a ``Cancel`` that was not acted on is one, too."""
    return f.error_type or ("Cancel" if f.told is State.CANCELLED else "Unknown")


def is_final(f: Found) -> bool:
    return f.newest and f.status in FINAL


def dead(f: Found) -> Verdict:
    """Its process died: it fails, as retries go, of how the process died; RQ has not counted it."""
    return (State.FAILURE if f.retries else State.DISCARD), "", f.died, False


def as_status(f: Found, counted: bool) -> Verdict:
    """As RQ's status has it; a status that is not final means that RQ runs it again: a failure."""
    state = FINAL.get(f.status, State.FAILURE)
    failed = state in (State.FAILURE, State.DISCARD)
    reason = (f.reason or "unspecified") if state is State.CANCELLED else ""
    return state, reason, error_type(f) if failed else "", counted


def put_back(f: Found) -> bool:
    """A process saw the function come to an end; since then the job waits, or somebody has run it again."""
    seen = f.asked != "abandoned" and f.returned is not None and bool(f.status)
    return seen and (not f.newest or (f.exists and f.status in WAITING))


def to_run_again(f: Found) -> Verdict:
    """As told, if RQ ended it; else it failed if it raised. RQ has counted nothing, or it shows."""
    if not f.exists and f.told is not None:
        return *as_told(f)[:3], False  # type: ignore[index]
    if f.returned:
        return State.SNOOZED if f.exists else State.COMPLETED, "", "", False
    return State.FAILURE, "", error_type(f), False


def as_told(f: Found) -> Verdict:
    """As its own process said before it ended; RQ counts everything but our Cancel."""
    assert f.told is not None
    failed = f.told in (State.FAILURE, State.DISCARD)
    reason = f.reason if f.told is State.CANCELLED else ""
    return f.told, reason, (f.error_type or "Unknown") if failed else "", f.told is not State.CANCELLED


RULES: tuple[Rule, ...] = (
    ("a worker class has put the job back whose function came to an end", put_back, to_run_again),
    # RQ still has the execution.
    ("a reconciler leaves alone what RQ has", lambda f: f.exists and f.asked == "abandoned", lambda f: None),
    (
        "a process that goes on, and has not given the job a final status, may still end it",
        lambda f: f.exists and f.asked == "performed" and not is_final(f),
        lambda f: None,
    ),
    (
        "a job with a final status and a function that came to an end was ended without RQ, which counted nothing",
        lambda f: f.exists and is_final(f) and f.returned is not None,
        lambda f: as_status(f, False),
    ),
    ("otherwise its process died", lambda f: f.exists, dead),
    # RQ has forgotten the job.
    ("what a process said of a forgotten job holds", lambda f: not f.status and f.told is not None, as_told),
    (
        "a forgotten job whose function returned is completed, and RQ counted nothing",
        lambda f: not f.status and f.asked != "abandoned" and f.returned is True,
        lambda f: (State.COMPLETED, "", "", False),
    ),
    (
        "one whose function raised is a discard of that",
        lambda f: not f.status and f.asked != "abandoned" and f.returned is False,
        lambda f: (State.DISCARD, "", f.error_type or "Unknown", False),
    ),
    ("one that was stopped is stopped", lambda f: not f.status and f.stopped, lambda f: (State.STOPPED, "", "", False)),
    (
        "a forgotten job cannot run again for who saw its process die; a reconciler goes by its retries",
        lambda f: not f.status,
        lambda f: (
            State.FAILURE if f.retries and f.asked == "abandoned" else State.DISCARD,
            "",
            f.died,
            False,
        ),
    ),
    # RQ has the job and no longer the execution.
    ("a later execution has its say in the status", lambda f: not f.newest or f.status == "started", dead),
    (
        "who saw the end takes RQ's word",
        lambda f: f.asked != "abandoned",
        lambda f: as_status(f, f.status != "canceled"),
    ),
    (
        "RQ's own cleanup never says finished or stopped",
        lambda f: f.status in ("finished", "stopped"),
        lambda f: as_status(f, True),
    ),
    (
        "it fails for good only what had no retries left",
        lambda f: f.status == "failed" and f.retries,
        lambda f: as_status(f, True),
    ),
    (
        "a cancellation with a reason is the job's own",
        lambda f: f.status == "canceled" and bool(f.reason),
        lambda f: as_status(f, False),
    ),
    ("everything else may be the cleanup's doing: it was abandoned", lambda f: True, dead),
)


def everything() -> Iterator[Found]:
    """Every combination of facts."""
    for asked, exists, status, newest, retries, told, returned, stopped, reason, error in product(
        ASKED, BOOLS, STATUSES, BOOLS, BOOLS, TOLD, (None, False, True), BOOLS, ("", "not_matched"), ("", "KeyError")
    ):
        yield Found(
            asked=asked,
            exists=exists,
            status=status,
            newest=newest,
            retries=retries,
            reason=reason,
            told=told,
            returned=returned,
            error_type=error,
            died="WorkHorseKilled",
            stopped=stopped,
        )


def test_every_combination_is_judged_by_the_rules() -> None:
    """The first rule that applies says what is concluded."""
    used = set()
    for found in everything():
        name, _, judge = next(rule for rule in RULES if rule[1](found))
        used.add(name)
        expected, concluded = judge(found), conclude(found)
        got = concluded and (
            concluded.outcome.state,
            concluded.outcome.reason,
            concluded.outcome.error_type,
            concluded.counted_by_rq,
        )
        assert got == expected, (name, found)
    assert used == {name for name, *_ in RULES}


def test_a_reconciler_never_ends_what_rq_has() -> None:
    """Whatever else is known."""
    assert not any(conclude(found) for found in everything() if found.exists and found.asked == "abandoned")


@pytest.mark.parametrize("state", State)
def test_only_what_failed_has_an_error_type(state: State) -> None:
    """And only a cancelled execution a reason; RQ counts nothing where it has the execution still."""
    for found in everything():
        concluded = conclude(found)
        if concluded is None or concluded.outcome.state is not state:
            continue
        assert bool(concluded.outcome.error_type) is state.failed, found
        assert not concluded.outcome.reason or state is State.CANCELLED
        assert not (concluded.counted_by_rq and found.exists)
        assert not (concluded.counted_by_rq and state.row.rq_counts is None)
