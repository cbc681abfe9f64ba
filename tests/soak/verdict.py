"""The judgement: what the ledger says against what jobtelemetry counted. Pure.

An execution that RQ created on an instrumented worker must be counted exactly once, whatever happened to it. In which
state follows from what its job wrote last and, only if something was done to its process or to Redis while it ran,
may also be that of an execution that did not come to its end. A job that returned after RQ had given its execution up
is late: it stays counted as abandoned.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .producer import CALLBACK, NOWHERE

#: How an execution is counted that something was done to.
_CUT_SHORT = {"AbandonedJobError", "WorkHorseKilled", "WorkHorseExited", "StuckInIntermediateQueue"}
#: And one whose ending could not be written, or that could not begin: Redis was away.
_REDIS_AWAY = {"ConnectionError", "TimeoutError", "BusyLoadingError", "ReadOnlyError", "Unknown", "OSError"}

#: Seconds around a deed in which what it did may show.
_BEFORE, _AFTER = 1.0, 25.0
#: Seconds after which an execution whose process died was given up, on a busy machine: heartbeats, then a reconciler.
_GIVEN_UP = 45.0


@dataclass
class Execution:
    """What the ledger says about one execution."""

    id: str
    job: str = ""
    worker: str = ""
    created: float = 0.0
    worker_pid: int = 0
    start: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None
    dying: str = ""

    @property
    def instrumented(self) -> bool:
        """Whether its worker was."""
        return not self.worker.startswith("plain-")


@dataclass
class Verdict:
    """What is wrong, and what there was.

    Args:
        executions: Executions on instrumented workers, by the ledger.
        plain: Executions on workers without jobtelemetry.
        lost: Executions that nobody counted.
        double: Counted more than once, or although there was no such execution on an instrumented worker.
        misclassified: Counted in a state that the ledger contradicts.
        lost_with_rq: Not judged, since RQ lost the same.
        states: Counted executions by state.
    """

    executions: int = 0
    plain: int = 0
    started: int = 0
    cut_short: int = 0
    late: int = 0
    stuck: int = 0
    lost_with_rq: int = 0
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    misclassified: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        """Whether every execution was counted once, in its state."""
        return not (self.lost or self.double or self.misclassified)


def judge(ledger: Iterable[Mapping[str, Any]], log: Iterable[Mapping[str, str]]) -> Verdict:
    """Compare.

    Args:
        ledger: The lines that jobs, workers and chaos wrote, in any order.
        log: jobtelemetry's execution log: one entry per counted execution.
    """
    book = _Book(ledger)
    verdict = Verdict()
    entries: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    nameless: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for entry in log:
        verdict.states[entry["state"]] += 1
        if entry.get("execution"):
            entries[entry["execution"]].append(entry)
        else:
            nameless[entry["job"]].append(entry)
            verdict.stuck += 1
    uncovered = {job: len(found) for job, found in nameless.items()}
    unstarted: Counter[str] = Counter()
    for id_ in {*book.executions, *entries}:
        execution, counted = book.executions.get(id_) or Execution(id_), entries.get(id_, [])
        if execution.created and execution.instrumented:
            verdict.executions += 1
            verdict.started += execution.start is not None
        elif execution.created:
            verdict.plain += 1
            if counted:
                verdict.double.append(f"{id_}: ran without jobtelemetry, counted as {_said(counted)}")
            continue
        if book.rq_lost(execution, counted) and (len(counted) != 1 or not execution.created):
            verdict.lost_with_rq += 1
            continue
        if not counted:
            if uncovered.get(execution.job):
                uncovered[execution.job] -= 1  # RQ found its job in the intermediate queue
            else:
                verdict.lost.append(f"{id_} of {execution.job} on {execution.worker}: {_story(execution)}")
            continue
        if len(counted) > 1:
            verdict.double.append(f"{id_} of {execution.job}: {_said(counted)}")
        if execution.start is None:
            unstarted[counted[0]["job"]] += 1
        _judge_state(book, execution, counted[0], verdict)
    for job, left in uncovered.items():
        unstarted[job] += left
    for job, number in unstarted.items():
        # Each must belong to a time when a worker took the job and its function was not reached.
        found = [*nameless[job], *(e[0] for e in entries.values() if e[0]["job"] == job)]
        if number > book.taken[job] - book.starts[job] and not book.may_have_been_taken(job, found):
            said = _said(found)
            taken = f"taken {book.taken[job]} times, started {book.starts[job]} times"
            verdict.double.append(f"{job}: {taken}, counted as {said}")
    return verdict


def judge_measured(
    ledger: Iterable[Mapping[str, Any]], log: Iterable[Mapping[str, str]], measured: Mapping[str, float]
) -> list[str]:
    """What is wrong with the counter that every job raises by one.

    An execution whose end its own process wrote has 1. One that was given up, stopped or whose process was killed has
    0, or 1 if it came to its end late. None has more.

    Args:
        ledger: As for :func:`judge`.
        log: As for :func:`judge`.
        measured: The counter by execution.
    """
    book = _Book(ledger)
    wrong = [f"{id_}: measured {value:g} times" for id_, value in measured.items() if value != 1]
    for entry in log:
        execution = book.executions.get(entry.get("execution", ""))
        if execution is None or execution.start is None or execution.end is None or not execution.instrumented:
            continue
        given_up = entry["state"] == "stopped" or entry.get("error_type", "") in _CUT_SHORT | {"Unknown"}
        if not given_up and execution.id not in measured and not book.hit(execution, entry, redis_only=False):
            wrong.append(f"{execution.id} of {execution.job}: counted as {entry['state']}, and nothing was measured")
    return wrong + [f"{id_}: measured, and never started" for id_ in measured.keys() - book.executions.keys()]


def _judge_state(book: _Book, execution: Execution, entry: Mapping[str, str], verdict: Verdict) -> None:
    state, error_type = entry["state"], entry.get("error_type", "")
    detail = error_type or entry.get("reason", "")
    if (state, detail) in book.expected(execution):
        return
    if book.rq_lost(execution, [entry]):
        verdict.lost_with_rq += 1
        return
    how = "" if execution.end is None else f" after its job had {execution.end['how']} {execution.end['what']}"
    if state in book.failed(execution) and error_type in _CUT_SHORT | _REDIS_AWAY:
        if book.hit(execution, entry, redis_only=error_type in _REDIS_AWAY):
            verdict.cut_short += 1
            verdict.late += execution.end is not None
            return
        how += ", and nothing was done to it"
    verdict.misclassified.append(f"{execution.id} of {execution.job or entry['job']}: {state} {detail}{how}")


class _Book:
    """The ledger, by what is asked of it."""

    def __init__(self, ledger: Iterable[Mapping[str, Any]]) -> None:
        self.executions: dict[str, Execution] = {}
        self.taken: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()
        self._kinds: dict[str, str] = {}
        self._produced: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._hits: dict[int, list[float]] = defaultdict(list)
        self._outages: list[tuple[float, float]] = []
        self._losses: list[tuple[float, float]] = []
        for line in ledger:
            reader = getattr(self, f"_read_{line['event'].replace('-', '_')}", None)
            if reader is not None:
                reader(line)

    def _of(self, line: Mapping[str, Any]) -> Execution:
        execution = self.executions.setdefault(line["execution"], Execution(line["execution"]))
        execution.job = line["job"]
        return execution

    def _read_producing(self, line: Mapping[str, Any]) -> None:
        self._kinds[line["job"]], self._produced[line["job"]] = line["kind"], line["t"]

    def _read_taken(self, line: Mapping[str, Any]) -> None:
        self.taken[line["job"]] += 1

    def _read_created(self, line: Mapping[str, Any]) -> None:
        execution = self._of(line)
        execution.worker, execution.created, execution.worker_pid = line["worker"], line["t"], line["pid"]

    def _read_start(self, line: Mapping[str, Any]) -> None:
        self.starts[line["job"]] += 1
        self._of(line).start = line

    def _read_end(self, line: Mapping[str, Any]) -> None:
        self._of(line).end = line

    def _read_dying(self, line: Mapping[str, Any]) -> None:
        self._of(line).dying = line["how"]

    def _read_stop(self, line: Mapping[str, Any]) -> None:
        self._stopped.add(line["job"])

    def _read_chaos(self, line: Mapping[str, Any]) -> None:
        if line["hit"] == "all":
            self._outages.append((line["t"] - _BEFORE, line["t"] + line["seconds"] + _AFTER))
        else:
            for pid in line["hit"]:
                self._hits[pid].append(line["t"])

    def _read_lost(self, line: Mapping[str, Any]) -> None:
        self._losses.append((line["since"] - _BEFORE, line["till"] + _BEFORE))
        self._outages.append((line["since"] - _BEFORE, line["till"] + _AFTER))

    def rq_lost(self, execution: Execution, entries: list[Mapping[str, str]]) -> bool:
        """Whether Redis lost what it had of an execution, while it ran: RQ's part of it as well."""
        ends = [float(entry["ended"]) for entry in entries]
        begin = execution.created or min(ends, default=0.0)
        # One that was not counted went on for as long as nobody gave it up.
        end = max(ends) if ends else max(begin, execution.end["t"] if execution.end else 0.0) + _GIVEN_UP
        return any(start <= end and begin <= over for start, over in self._losses)

    def hit(self, execution: Execution, entry: Mapping[str, str], *, redis_only: bool) -> bool:
        """Whether something was done to an execution's processes, or to Redis, while it was not yet counted."""
        begin, end = execution.created or 0.0, float(entry["ended"])
        if any(start <= end and begin <= over for start, over in self._outages):
            return True
        if redis_only:
            return False
        start = execution.start or {}
        pids = {execution.worker_pid, start.get("pid"), start.get("parent")} if execution.created else set(self._hits)
        return any(begin - _BEFORE <= t <= end + _BEFORE for pid in pids for t in self._hits.get(pid, ()))

    def may_have_been_taken(self, job: str, entries: list[Mapping[str, str]]) -> bool:
        """Whether Redis was cut off while the job waited: it may have been handed out, and the reply lost."""
        begin, end = self._produced.get(job, 0.0), max(float(entry["ended"]) for entry in entries)
        return any(start <= end and begin <= over for start, over in self._outages)

    def failed(self, execution: Execution) -> set[str]:
        """The states of an execution that failed: whether it will be tried again is known where it started."""
        if execution.start is None:
            return {"failure", "discard"}
        return {"failure" if execution.start["retries_left"] > 0 else "discard"}

    def expected(self, execution: Execution) -> set[tuple[str, str]]:
        """The states, with reason or error type, that follow from what the job wrote."""
        found = self._from_end(execution)
        if execution.job in self._stopped:
            found.add(("stopped", ""))
        return found

    def _from_end(self, execution: Execution) -> set[tuple[str, str]]:
        kind, failed = self._kinds.get(execution.job, ""), next(iter(self.failed(execution)))
        if kind == NOWHERE:
            return {
                ("discard", name) for name in ("AttributeError", "ImportError", "ModuleNotFoundError", "ValueError")
            }
        if execution.dying:
            of_fork = "WorkHorseExited" if execution.dying == "exit" else "WorkHorseKilled"
            in_fork = not execution.worker.startswith("simple")
            return {(failed, of_fork if in_fork else "AbandonedJobError")}
        if execution.start is None or execution.end is None:
            return set()
        how, what = execution.end["how"], execution.end["what"]
        if what in ("Cancel", "Discard"):
            return {("cancelled" if what == "Cancel" else "discard", execution.end["reason"])}
        if how == "raised":
            return {(failed, what)}
        if what == "Retry":
            tried = execution.start["number_of_retries"]
            exhausted = bool(tried and tried >= execution.end["most"])
            return {(failed, "MaxRetriesExceeded")} if exhausted else {("snoozed", "")}
        if kind == CALLBACK:
            return {(failed, "ShowtimeNotFound")}
        return {("completed", "")}


def _said(entries: list[Mapping[str, str]]) -> str:
    return ", ".join(f"{e['state']} {e.get('error_type', '')} at {e.get('ended', '?')}" for e in entries)


def _story(execution: Execution) -> str:
    started = "started" if execution.start else "not started"
    ended = f", {execution.end['how']} {execution.end['what']}" if execution.end else ""
    return f"created at {execution.created:.3f}, {started}{ended}{', ' + execution.dying if execution.dying else ''}"
