"""The metric reference, ``docs/metrics.md``, made from the contract: ``python -m jobtelemetry.mixin.reference``."""

from __future__ import annotations

from dataclasses import replace

from jobtelemetry import contract
from jobtelemetry.contract import (
    FAMILIES,
    JOB_DURATION,
    JOB_WAIT,
    QUEUE_STATUSES,
    RQ_WORKER_STATUSES,
    Family,
    coarse,
    series_of_label_set,
)
from jobtelemetry.outcomes import State

_HEAD = """# Metrics

<!-- Made by `python -m jobtelemetry.mixin.reference > docs/metrics.md`; change the contract, not this file. -->

Everything that `/metrics` shows. The base unit is the second, moments are Unix time, and a label is always an
identifier. Counters come with a `_created` series, which says when they began to count. The numbers live in Redis:
several exporters show the same ones, so take the `max` over `instance` before you sum. Where
`JOBTELEMETRY_EXTRA_LABELS=source` is set, every family with the label `worker` has the label `source`, too. Where one
exporter reads several Redis servers, every family has the label `redis`, the server's name.
"""

_LABELS = {
    "worker": "the job's function, method or class, such as `cinema.jobs.process_showtime`; never a process",
    "queue": "the RQ queue",
    "state": "how an execution ended: " + ", ".join(f"`{state}`" for state in State),
    "reason": "the identifier that a job gave to `Cancel`; `unspecified` or `invalid_reason` where it gave none",
    "error_type": "an exception's class name, or a kind of death such as `WorkHorseKilled`",
    "status": "of a queue's jobs "
    + ", ".join(f"`{status}`" for status in contract.QUEUE_STATUSES)
    + "; of RQ workers "
    + ", ".join(f"`{status}`" for status in contract.RQ_WORKER_STATUSES),
    "hook": "the part of jobtelemetry that failed",
    "family": "the metric family that was full",
    "version": "of jobtelemetry",
}


_WORKERS = """A method is a worker of its own, `invoices.Invoice.send`, whether `Invoice().send`,
`Invoice.send` or the text is enqueued. The methods `__call__`, `perform`, `run`, `execute` and `handle`
stand for their class, `invoices.Invoice`. `@jobtelemetry.job(name=...)` on a method, or on its class,
says otherwise. Labels have 200 characters at most; the end of a longer one is a hash of the whole, and
characters that a terminal would obey are escapes."""

_COST = """## What it costs in series

`JOBTELEMETRY_HISTOGRAM_DETAIL`, set for the exporter, says how much of the histograms is shown; what Redis holds stays
complete. `_count` and `_sum` are exact in each of them, so rates and means stay what they are.

| value | buckets | series of a `worker` on a `queue` in every state | with one histogram of run times | what is lost |
|---|---|---|---|---|
{details}

For each of the two there can be another choice, also the very bounds to keep, which must be some of the family's:
`JOBTELEMETRY_HISTOGRAM_DETAIL=duration=0.1/1/10/60,wait=off`.

`JOBTELEMETRY_DURATION_STATES`, set for the exporter as well, says whose run times are shown. Each of the three is made
of the same counts, so it can be changed at any time; give all exporters of one Redis the same, since dashboards would
add up what differs.

| value | histograms of run times | what is lost |
|---|---|---|
{states}

The dashboards and rules that are shipped work with every choice: they select `state=~"completed|"`, which is also what
has no such label. `jobtelemetry mixin build` reads both variables, and says which panels and alerts they take away.
`jobtelemetry doctor` says what a label set costs with them, and names the family and the label that make most series.

Cancellations and errors have two series more for each reason and exception class. A queue has up to {queue} series.
Beyond `JOBTELEMETRY_MAX_QUEUES` (1000) the largest queues, by the jobs that RQ keeps of them, are shown by name; the
others are summed into `queue="__other__"`. The oldest job there is the oldest of them all, an RQ worker counts once,
however many of them it listens on, and `jobtelemetry_scheduler_up` is 1 if each of them that has scheduled jobs has a
scheduler. That a single one of them has no RQ worker does not show.
"""

_STATES_SHOWN = (
    ("each", "one for each state that occurred", "nothing"),
    (
        "completed",
        'one, `state="completed"`',
        "panels of run times show completed executions alone; rules and alerts lose nothing",
    ),
    (
        "together",
        "one, without the label `state`",
        "for `JobRunTimeRegressed` and `JobRunningTooLong` executions that failed or were cancelled count as well",
    ),
)

_WAITS = """## From when a job waits

| how it came | it waits from |
|---|---|
| enqueued | then |
| scheduled, a retry or a repeat with an interval | when it is due |
| a dependent | when RQ puts it on its queue |
| with a `RateLimit` of RQ's | the same moments: what the limit holds it back is waiting, too |

So a limit that starves jobs shows in `jobtelemetry_job_wait_seconds`, however they came to it, once they start. The
hold itself shows before: `jobtelemetry_rate_limit_jobs{status="held"}` are the jobs that each limit holds back just
now, `jobtelemetry_rate_limit_oldest_job_timestamp_seconds` since when the first of them (`QueueRateLimitStarves` is the
alert on it), and `status="allowed"` those that have its slots. Of more than 100 limits those that hold most have series
of their own, the others are `rate_limit="__other__"`. Where the producer is not instrumented, RQ tells no
more than when the limit let a job go, and its wait begins there.
"""

_RESOURCES = """## What an execution takes

| | where it is measured | what it is |
|---|---|---|
| processor time | in the work-horse as it ends, by `getrusage`; of one that was killed, in its parent by `wait4` | \
what the work-horse and the programs that it started and waited for used, from its start: a `SpawnWorker`'s has a \
Python to start. A `SimpleWorker` takes the difference of its own before and after, all its threads together |
| peak memory | the same | by how much the work-horse grew at most: its resident set at its highest, less what it \
had when it began. What it shares with its RQ worker is not the job's, however large. A program that it starts \
counts if it was larger, with all that it has; the largest counts, not their sum |

No number is guessed. A `SimpleWorker` and a synchronous queue have no peak memory, because memory that a job gives
back stays with the process; an abandoned execution has neither; a spawned work-horse that was killed has no peak
where it never was larger than its RQ worker, whose size Linux counts as its own. Memory that the RQ worker had freed
before it forked, and that the job takes again, is not seen.

For each `worker` and `queue` that is a counter and a gauge, and no histogram (two would be some forty series): that of
processor time says who keeps processors busy and, divided by executions, what one takes; for memory the mean does not
matter to the OOM killer, so the largest of the last two hours in which any ran is shown, exactly, and stays until it
runs again. Every single one is in the execution log: `jobtelemetry jobs --sort memory`, `jobtelemetry top --by worker
--sum cpu`. `jobtelemetry_job_memory_limit_bytes` is `memory.max` of the RQ worker's control group (version 2) or the
smallest around it, or `JOBTELEMETRY_MEMORY_LIMIT`, less what the RQ worker held when it started (twice that for a
`SpawnWorker`); RQ workers that share a group are each shown all of it. `JOBTELEMETRY_RESOURCES=off`, set for the RQ
workers, measures nothing.
"""

_STATES = """## States

| state | what happened | the job runs again | RQ's status of the job | RQ counts it as |
|---|---|---|---|---|
"""


def reference() -> str:
    """The whole page."""
    states = _STATES + "\n".join(map(_state, State))
    labels = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in _LABELS.items())
    sections = "\n".join(map(_section, FAMILIES))
    table = f"| label | meaning |\n|---|---|\n{labels}"
    words = f"{_HEAD}\n## Labels\n\n{table}\n\n{_WORKERS}\n\n{states}\n\n{_WAITS}\n{_RESOURCES}"
    return f"{words}\n## Families\n\n{sections}\n{_cost()}"


def _cost() -> str:
    durations, waits = coarse(JOB_DURATION.buckets), coarse(JOB_WAIT.buckets)
    narrow = f"every third: {_bounds(durations)} for run times, {_bounds(waits)} for waits, and `+Inf`"
    kept = "quantiles are estimated within wider buckets, heatmaps have fewer rows; what is said of late jobs needs a "
    gone = "quantiles, heatmaps and what is said of late jobs: panels stay empty, and the alerts on it never fire"
    rows = (
        ("full", "all", _series(JOB_DURATION.buckets, JOB_WAIT.buckets), "nothing"),
        ("coarse", narrow, _series(durations, waits), f"{kept}limit that is one of these"),
        ("off", "`+Inf`", _series((), ()), gone),
    )
    details = "\n".join(f"| `{value}` | {buckets} | {series} | {lost} |" for value, buckets, series, lost in rows)
    of_states = "\n".join(f"| `{value}` | {histograms} | {lost} |" for value, histograms, lost in _STATES_SHOWN)
    of_queue = [family for family in FAMILIES if family.labels[:1] == ("queue",)]
    statuses = len(QUEUE_STATUSES) - 1 + len(RQ_WORKER_STATUSES)  # rate_limited is of all queues together
    queue = statuses + sum("status" not in family.labels for family in of_queue)
    return _COST.format(details=details, states=of_states, queue=queue)


def _series(durations: tuple[float, ...], waits: tuple[float, ...]) -> str:
    """What a label set costs: with run times of each state, and with one histogram of them."""
    shown = replace(JOB_DURATION, buckets=durations), replace(JOB_WAIT, buckets=waits)
    each, one = (series_of_label_set(len(State), *shown, durations=number) for number in (len(State), 1))
    return f"{each} | {one}"


def _state(state: State) -> str:
    row = state.row
    status = f"`{row.rq_status}`" if row.rq_status else "`queued` or `scheduled`"
    again, counted = "no" if row.terminal else "yes", row.rq_counts or "nothing"
    return f"| `{state}` | {row.meaning} | {again} | {status} | {counted} |"


def _section(family: Family) -> str:
    facts = [f"*{family.kind.value}*"]
    if family.labels:
        facts.append("labels " + ", ".join(f"`{label}`" for label in family.labels))
    if family.exemplars:
        facts.append("exemplars")
    if family.buckets:
        facts.append(f"buckets {_bounds(family.buckets)}")
    return f"### `{family.name}`\n\n{family.help}\n\n{' · '.join(facts)}\n"


def _bounds(buckets: tuple[float, ...]) -> str:
    return ", ".join(f"{bound:g}" for bound in buckets)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is what it is for
