"""How an execution can end: the states, what a job says to choose one, and the one rule that decides.

Pure: nothing here does I/O or knows RQ. The hooks collect facts, :func:`classify` turns them into an
:class:`Outcome`, and every consumer (counters, logs, Sentry, spans) reads that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from jobtelemetry.errors import InvalidReasonError
from jobtelemetry.hues import Hue
from jobtelemetry.text import attribute, log_text, text_of

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
#: Characters that a detail keeps.
_LONGEST_DETAIL = 2_000

#: The reasons of a verdict that was given without one, and with one that cannot be a label.
UNSPECIFIED = "unspecified"
INVALID_REASON = "invalid_reason"

#: What a developer is told about these reasons.
HINTS = {
    UNSPECIFIED: "Cancel and Discard need a reason: raise Cancel('movie_not_matched'), with an identifier of at most "
    "64 letters, digits, '_', '.', ':' or '-' that begins with a letter or '_'",
    INVALID_REASON: "the reason of Cancel and Discard is a label: an identifier of at most 64 letters, digits, '_', "
    "'.', ':' or '-' that begins with a letter or '_'; free text belongs into detail=...",
}

_strict = False


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
        only_beside: Whether there is no ratio where nothing ended in the other state: a worker that never cancels
            has nothing to match.
    """

    name: str
    beside: State
    only_beside: bool = False

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
        if not good + other or (self.only_beside and not other):
            return None
        return good / (good + other)


#: Of the jobs meant to succeed, how many did. Cancelled, stopped and unfinished attempts are in neither part.
SUCCESS = Ratio("success", State.DISCARD)
#: How many found what they worked on, of workers that cancel.
MATCH = Ratio("match", State.CANCELLED, only_beside=True)
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
        return Outcome(State.CANCELLED, reason=_label(reason))
    if ending is Ending.RETRY_RETURNED:
        return Outcome(State.SNOOZED)
    if ending is Ending.STOPPED:
        return Outcome(State.STOPPED)
    if ending is Ending.DISCARDED:
        return Outcome(State.DISCARD, reason=_label(reason), error_type=_label(reason))
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
            f"{what} must be an identifier of at most 64 letters, digits, '_', '.', ':' or '-' that begins with a "
            f"letter or '_', got {log_text(text)[:200]}; put anything longer into detail=..."
        )
    return text


def reason_of(verdict: Cancel | Discard) -> str:
    """The reason of a verdict as a label may carry it, also of a subclass that checks nothing."""
    return _label(attribute(verdict, "reason"))


def _label(reason: object) -> str:
    try:
        return identifier(reason, what="a reason")
    except InvalidReasonError:
        return INVALID_REASON if reason else UNSPECIFIED


def strict_reasons(strict: bool = True) -> None:
    """Choose whether a ``Cancel`` or ``Discard`` without a usable reason raises :class:`InvalidReasonError`.

    For tests, where a mistake is to be seen at once; the variable ``JOBTELEMETRY_STRICT_REASONS=1`` does the same. In
    production the execution ends as the job meant it, under the reason ``unspecified`` or ``invalid_reason``.

    Args:
        strict: ``False`` takes it back.
    """
    global _strict
    _strict = strict


def verdict_in(result: object) -> Cancel | Discard | None:
    """The verdict that a job returned: one of these, or the class itself, whose brackets were forgotten.

    Raises:
        InvalidReasonError: It is the class, and :func:`strict_reasons` asks for a reason.
    """
    kind = type(result)  # not isinstance: a result may lie about its class, or raise when it is asked
    if issubclass(kind, (Cancel, Discard)):
        return result  # type: ignore[return-value]
    if not issubclass(kind, type) or not issubclass(result, (Cancel, Discard)):  # type: ignore[arg-type]
        return None
    try:
        return result()  # type: ignore[operator, no-any-return]
    except InvalidReasonError:
        raise
    except Exception:  # noqa: BLE001 - a subclass with a constructor of its own
        return (Cancel if issubclass(result, Cancel) else Discard)(UNSPECIFIED)  # type: ignore[arg-type]


class _Verdict(Exception):
    """What a job raises or returns to choose its own ending."""

    _meaning: str
    #: Of a subclass that does not call this constructor.
    reason: str = UNSPECIFIED
    detail: str = ""

    if TYPE_CHECKING:

        def __init__(self, reason: str | Enum, detail: str = "") -> None: ...

    else:
        # ``raise Cancel`` calls it without a reason. The job has said what it means; that is not the time to fail.
        def __init__(self, reason: Any = None, detail: Any = "") -> None:
            detail = text_of(detail)[:_LONGEST_DETAIL]
            try:
                self.reason = identifier(reason, what=f"the reason of {type(self).__name__}")
            except InvalidReasonError:
                if _strict:
                    raise
                said = "" if reason is None else text_of(reason.value if isinstance(reason, Enum) else reason)
                self.reason = INVALID_REASON if said.strip() else UNSPECIFIED
                detail = ": ".join(filter(None, (said.strip(), detail)))[:_LONGEST_DETAIL]
            self.detail = detail
            super().__init__(self.reason, self.detail)

    def __str__(self) -> str:
        said = f"{self.reason}: {self.detail}" if self.detail else self.reason
        return f"{said} ({self._meaning})"


class Cancel(_Verdict):
    """Raise or return this in a job to end it on purpose: neither a success nor a failure.

    Jobs that depend on it stay deferred, as after RQ's own ``job.cancel()``; one whose ``Dependency`` allows failure
    runs. The job gets RQ's status ``canceled``, is not retried, and calls no failure callback, webhook or
    exception handler. On a worker that is not instrumented a raised ``Cancel`` is an ordinary failure.

    Args:
        reason: An identifier such as ``"movie_not_matched"``, or an enum member with such a value. It
            becomes a label, so it must not carry ids or free text. Without one the job is cancelled all the same, for
            ``unspecified``; with free text for ``invalid_reason``, and the text is put before ``detail``.
        detail: Free text for the log and the span.
        enqueue_dependents: Whether the jobs that depend on it run all the same, as RQ's own option of that name.

    Raises:
        InvalidReasonError: ``reason`` is not an identifier, and :func:`strict_reasons` is on.
    """

    #: Of a subclass that does not call this constructor.
    enqueue_dependents: bool = False

    if TYPE_CHECKING:

        def __init__(self, reason: str | Enum, detail: str = "", *, enqueue_dependents: bool = False) -> None: ...

    else:

        def __init__(self, reason: Any = None, detail: Any = "", *, enqueue_dependents: bool = False) -> None:
            super().__init__(reason, detail)
            self.enqueue_dependents = bool(enqueue_dependents)

    _meaning = "cancelled on purpose; a failure only because this worker is not instrumented by jobtelemetry"


class Discard(_Verdict):
    """Raise or return this in a job to fail it now, whatever retries are left.

    Args:
        reason: An identifier such as ``"bad_payload"``, or an enum member with such a value. What is none is
            dealt with as in :class:`Cancel`.
        detail: Free text for the log and the span.

    Raises:
        InvalidReasonError: ``reason`` is not an identifier, and :func:`strict_reasons` is on.
    """

    _meaning = "discarded by the job: failed without a retry"


@dataclass(frozen=True)
class Found:
    """What is found of an execution whose end nobody has reported.

    Args:
        asked: Who asks: ``abandoned``, somebody who saw nothing of its process; ``exited``, the process is gone;
            ``performed``, the process goes on and RQ is through with the job.
        exists: Whether RQ still has the execution.
        status: RQ's status of the job; empty if RQ has forgotten it.
        newest: Whether the job's status is that of this execution, and not of a later one.
        retries: Whether it had retries left when it started.
        reason: The reason of its cancellation, where the job's hash has one.
        told: The state that its own process told before it ended; it had been recorded, or RQ had done its part.
        returned: Whether the job's function is known to have returned; ``None`` if nobody knows how it ended.
        error_type: The class of the exception that ended the job's function.
        died: The error type of how its process ended.
    """

    asked: str
    exists: bool
    status: str
    newest: bool = True
    retries: bool = False
    reason: str = ""
    told: State | None = None
    returned: bool | None = None
    error_type: str = ""
    died: str = ERROR_TYPES[Ending.ABANDONED]
    stopped: bool = False


@dataclass(frozen=True)
class Concluded:
    """What is concluded from it: the outcome, and whether RQ has counted that ending for its worker."""

    outcome: Outcome
    counted_by_rq: bool


#: RQ's status of a job -> how its last execution ended. Every other status means that it will run again.
_BY_STATUS: dict[str, State] = {state.row.rq_status: state for state in State if state.row.rq_status is not None}

#: RQ's statuses of a job that is yet to run.
_WAITING = ("created", "queued", "scheduled", "deferred", "rate_limited", "ready_to_enqueue")

#: What RQ's own clean-up of abandoned jobs leaves: nothing in these tells that the execution ended by itself.
_LEFT_BY_CLEANUP = ("failed", "queued", "scheduled")


def conclude(found: Found) -> Concluded | None:
    """Decide how an execution ended that nobody has reported; ``None`` while it may go on.

    RQ removes an execution in the transaction in which it ends. So an execution that RQ still has is running, or its
    process died; one that RQ no longer has ended by RQ's hand, and the job's status tells how, unless a later
    execution has changed that since. A worker class that deals with endings itself may leave the execution behind: if
    the function came to an end and the job waits again, or has been run again, that class has put it back.
    """
    terminal = found.newest and found.status in _BY_STATUS
    if _put_back(found):
        return Concluded(_ended_to_run_again(found), counted_by_rq=False)
    if found.exists and (found.asked == "abandoned" or (found.asked == "performed" and not terminal)):
        return None
    if found.exists:
        if terminal and found.returned is not None:  # a worker class that ends jobs without RQ's help
            return Concluded(_by_status(found), counted_by_rq=False)
        return Concluded(_died(found), counted_by_rq=False)
    if not found.status:
        return _forgotten(found)
    later = not found.newest or found.status == "started"
    died = later or (found.asked == "abandoned" and not _ended_by_itself(found))
    outcome = _died(found) if died else _by_status(found)
    return Concluded(outcome, counted_by_rq=not died and found.status != "canceled")


def _put_back(found: Found) -> bool:
    """Whether a function was seen to end whose job is to run again, or has been run again since."""
    if found.asked == "abandoned" or found.returned is None:
        return False
    return bool(found.status) and (not found.newest or (found.exists and found.status in _WAITING))


def _ended_to_run_again(found: Found) -> Outcome:
    if not found.exists and found.told is not None:
        return _as_told(found, found.told)
    if found.returned:
        return Outcome(State.SNOOZED if found.exists else State.COMPLETED)
    return Outcome(State.FAILURE, error_type=_error_type(found))


def _ended_by_itself(found: Found) -> bool:
    if found.status == "canceled":
        return bool(found.reason)
    return found.status in _BY_STATUS and (found.status not in _LEFT_BY_CLEANUP or found.retries)


def _forgotten(found: Found) -> Concluded:
    """RQ has forgotten the job: it was deleted, or its result did not have to be kept."""
    if found.told is not None:
        return Concluded(_as_told(found, found.told), counted_by_rq=found.told is not State.CANCELLED)
    if found.asked != "abandoned" and found.returned is not None:
        if found.returned:
            return Concluded(Outcome(State.COMPLETED), counted_by_rq=False)
        return Concluded(Outcome(State.DISCARD, error_type=found.error_type or "Unknown"), counted_by_rq=False)
    if found.stopped:
        return Concluded(Outcome(State.STOPPED), counted_by_rq=False)
    state = State.FAILURE if found.retries and found.asked == "abandoned" else State.DISCARD
    return Concluded(Outcome(state, error_type=found.died), counted_by_rq=False)


def _as_told(found: Found, told: State) -> Outcome:
    return Outcome(
        told,
        reason=found.reason if told is State.CANCELLED else "",
        error_type=_error_type(found) if told.failed else "",
    )


def _error_type(found: Found) -> str:
    """Of what RQ or a worker class has failed: a ``Cancel`` too, where it did not act on that."""
    return found.error_type or (Cancel.__name__ if found.told is State.CANCELLED else "Unknown")


def _by_status(found: Found) -> Outcome:
    state = _BY_STATUS.get(found.status, State.FAILURE)
    if state is State.CANCELLED:
        return Outcome(state, reason=found.reason or _Verdict.reason)
    return Outcome(state, error_type=_error_type(found) if state.failed else "")


def _died(found: Found) -> Outcome:
    return Outcome(State.FAILURE if found.retries else State.DISCARD, error_type=found.died)
