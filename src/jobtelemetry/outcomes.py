"""How an execution can end: the states, what a job says to choose one, and the one rule that decides.

Pure: nothing here does I/O or knows RQ. The hooks collect facts, :func:`classify` turns them into an
:class:`Outcome`, and every consumer (counters, logs, Sentry, spans) reads that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from jobtelemetry.errors import InvalidReasonError
from jobtelemetry.hues import Hue
from jobtelemetry.text import writable

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True)
class StateRow:
    """Everything that is known of a state; whoever treats states differently asks here.

    Args:
        value: The contract's word.
        terminal: Whether the job will not run again after this.
        failed: Whether the execution went wrong.
        rq_status: The job's status in RQ afterwards; ``None`` where it runs again and has the status of that.
        rq_counts: As what RQ counts it for the RQ worker that ran it; ``None`` for not at all.
        meaning: What happened, in words that go on after a colon.
        logged: The log's message, a constant.
        always_shown: Whether a table shows it where it never happened, although it has no room to spare.
        hue: Its colour everywhere. Cancelled is a decision and not an error, so it is never red.
        also_called: What people write who mean it; a command asks them whether they do.
    """

    value: str
    terminal: bool
    failed: bool
    rq_status: Literal["finished", "canceled", "failed", "stopped"] | None
    rq_counts: Literal["successful", "failed"] | None
    meaning: str
    logged: str
    always_shown: bool
    hue: Hue
    also_called: tuple[str, ...] = ()


class State(str, Enum):
    """How one execution ended. The values are the contract's own words, everywhere.

    A state is defined by its :class:`StateRow`, and in this order states are shown.
    """

    row: StateRow

    COMPLETED = StateRow(
        "completed",
        terminal=True,
        failed=False,
        rq_status="finished",
        rq_counts="successful",
        meaning="the function returned",
        logged="job completed",
        always_shown=True,
        hue=Hue.GREEN,
        also_called=("success", "succeeded", "finished"),
    )
    CANCELLED = StateRow(
        "cancelled",
        terminal=True,
        failed=False,
        rq_status="canceled",
        rq_counts=None,  # RQ does not know that a job can end like this: the ending is ours
        meaning="the job cancelled itself on purpose; neither a success nor a failure",
        logged="job cancelled",
        always_shown=True,
        hue=Hue.BLUE,
        also_called=("canceled",),
    )
    FAILURE = StateRow(
        "failure",
        terminal=False,
        failed=True,
        rq_status=None,
        rq_counts="failed",
        meaning="it failed and RQ runs it again",
        logged="job failed and will be retried",
        always_shown=True,
        hue=Hue.ORANGE,
        also_called=("failed", "error"),
    )
    DISCARD = StateRow(
        "discard",
        terminal=True,
        failed=True,
        rq_status="failed",
        rq_counts="failed",
        meaning="it failed and will not run again",
        logged="job failed",
        always_shown=True,
        hue=Hue.RED,
        also_called=("discarded",),
    )
    SNOOZED = StateRow(
        "snoozed",
        terminal=False,
        failed=False,
        rq_status=None,
        rq_counts="failed",  # to RQ, a returned Retry is a failure
        meaning="the job asked to be run again later",
        logged="job snoozed",
        always_shown=False,
        hue=Hue.PURPLE,
        also_called=("retried",),
    )
    STOPPED = StateRow(
        "stopped",
        terminal=True,
        failed=False,
        rq_status="stopped",
        rq_counts="failed",
        meaning="an operator stopped it",
        logged="job stopped",
        always_shown=False,
        hue=Hue.GREY,
    )

    def __new__(cls, row: Any) -> State:
        """Make a state of its row; ``State("completed")`` finds one that is made."""
        member = str.__new__(cls, row.value)
        member._value_ = row.value
        member.row = row
        return member

    def __str__(self) -> str:
        return self.value

    @property
    def value(self) -> str:
        """The contract's word."""
        return self.row.value

    @property
    def terminal(self) -> bool:
        """Whether the job will not run again after this."""
        return self.row.terminal

    @property
    def failed(self) -> bool:
        """Whether the execution went wrong: ``failure`` (RQ will retry) or ``discard`` (it will not)."""
        return self.row.failed


@dataclass(frozen=True)
class Ratio:
    """What part of the executions completed, of those that completed and those that ended in one other state.

    Args:
        name: What it is called.
        beside: The other state.
    """

    name: str
    beside: State

    @property
    def states(self) -> tuple[State, State]:
        """The states in its denominator."""
        return State.COMPLETED, self.beside

    @property
    def formula(self) -> str:
        """How it is explained."""
        return f"{State.COMPLETED} / ({' + '.join(self.states)})"

    def of(self, counts: Mapping[State, int]) -> float | None:
        """Its value; ``None`` where there is nothing to divide."""
        good, other = counts.get(State.COMPLETED, 0), counts.get(self.beside, 0)
        return good / (good + other) if good + other else None


#: Of the jobs meant to succeed, how many did. Cancelled, stopped and unfinished attempts are in neither part.
SUCCESS = Ratio("success", State.DISCARD)
#: How many found what they worked on.
MATCH = Ratio("match", State.CANCELLED)
RATIOS = (SUCCESS, MATCH)


class Ending(str, Enum):
    """What was seen to happen, before it is judged."""

    RETURNED = "returned"
    CANCELLED = "cancelled"
    RETRY_RETURNED = "retry_returned"
    RETRIES_EXHAUSTED = "retries_exhausted"
    RAISED = "raised"
    DISCARDED = "discarded"
    STOPPED = "stopped"
    HORSE_KILLED = "horse_killed"
    HORSE_EXITED = "horse_exited"
    ABANDONED = "abandoned"
    STUCK = "stuck"


#: The ``error_type`` of the endings in which no exception exists to take a class name from.
ERROR_TYPES: dict[Ending, str] = {
    Ending.RETRIES_EXHAUSTED: "MaxRetriesExceeded",
    Ending.HORSE_KILLED: "WorkHorseKilled",
    Ending.HORSE_EXITED: "WorkHorseExited",
    Ending.ABANDONED: "AbandonedJobError",
    Ending.STUCK: "StuckInIntermediateQueue",
}


@dataclass(frozen=True)
class Outcome:
    """The judgement on one execution.

    Args:
        state: How it ended.
        reason: An identifier; only for ``cancelled`` and for a ``Discard``.
        error_type: An exception's class name or one of :data:`ERROR_TYPES`; only where it failed.
    """

    state: State
    reason: str = ""
    error_type: str = ""


def classify(ending: Ending, *, will_retry: bool = False, reason: str = "", error_type: str = "") -> Outcome:
    """Decide the state of an execution.

    Args:
        ending: What happened.
        will_retry: Whether RQ runs the job again because of it.
        reason: The identifier that the job gave with ``Cancel`` or ``Discard``.
        error_type: The class name of the exception, where there was one.

    Returns:
        The state, with reason and error type only where the state has them.
    """
    if ending is Ending.RETURNED:
        return Outcome(State.COMPLETED)
    if ending is Ending.CANCELLED:
        return Outcome(State.CANCELLED, reason=reason)
    if ending is Ending.RETRY_RETURNED:
        return Outcome(State.SNOOZED)
    if ending is Ending.STOPPED:
        return Outcome(State.STOPPED)
    if ending is Ending.DISCARDED:
        return Outcome(State.DISCARD, reason=reason, error_type=reason)
    state = State.FAILURE if will_retry else State.DISCARD
    return Outcome(state, error_type=error_type or ERROR_TYPES.get(ending, "Exception"))


def identifier(value: object, *, what: str) -> str:
    """Return ``value`` as the identifier that a label may carry.

    Args:
        value: A string, or an enum member whose value is one.
        what: How to call it in an error message.

    Raises:
        InvalidReasonError: It is not an identifier: a label with free text grows without bound.
    """
    text = value.value if isinstance(value, Enum) else value
    if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
        raise InvalidReasonError(
            f"{what} must be an identifier of at most 64 letters, digits, '_', '.', ':' or '-', got {text!r}; "
            "put anything longer into detail=..."
        )
    return text


class _Verdict(Exception):
    """What a job raises or returns to choose its own ending."""

    _meaning: str
    #: Of a subclass that does not call this constructor.
    reason: str = "unspecified"
    detail: str = ""

    def __init__(self, reason: str | Enum, detail: str = "") -> None:
        self.reason = identifier(reason, what=f"the reason of {type(self).__name__}")
        self.detail = writable(str(detail))
        super().__init__(reason, detail)

    def __str__(self) -> str:
        said = f"{self.reason}: {self.detail}" if self.detail else self.reason
        return f"{said} ({self._meaning})"


class Cancel(_Verdict):
    """Raise or return this in a job to end it on purpose: neither a success nor a failure.

    The job gets RQ's status ``canceled``, is not retried, and calls no failure callback, webhook or
    exception handler. On a worker that is not instrumented a raised ``Cancel`` is an ordinary failure.

    Args:
        reason: An identifier such as ``"movie_not_matched"``, or an enum member with such a value. It
            becomes a label, so it must not carry ids or free text.
        detail: Free text for the log and the span.

    Raises:
        InvalidReasonError: ``reason`` is not an identifier.
    """

    _meaning = "cancelled on purpose; a failure only because this worker is not instrumented by jobtelemetry"


class Discard(_Verdict):
    """Raise or return this in a job to fail it now, whatever retries are left.

    Args:
        reason: An identifier such as ``"bad_payload"``, or an enum member with such a value.
        detail: Free text for the log and the span.

    Raises:
        InvalidReasonError: ``reason`` is not an identifier.
    """

    _meaning = "discarded by the job: failed without a retry"
