"""The metric reference, ``docs/metrics.md``, made from the contract: ``python -m jobtelemetry.mixin.reference``."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.contract import FAMILIES, Family
from jobtelemetry.outcomes import State

_HEAD = """# Metrics

<!-- Made by `python -m jobtelemetry.mixin.reference > docs/metrics.md`; change the contract, not this file. -->

Everything that `/metrics` shows. The base unit is the second, moments are Unix time, and a label is always an
identifier. Counters come with a `_created` series, which says when they began to count. The numbers live in Redis:
several exporters show the same ones, so take the `max` over `instance` before you sum. Where
`JOBTELEMETRY_EXTRA_LABELS=source` is set, every family with the label `worker` has the label `source`, too.
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

_WAITS = """## From when a job waits

| how it came | it waits from |
|---|---|
| enqueued | then |
| scheduled, a retry or a repeat with an interval | when it is due |
| a dependent | when RQ puts it on its queue |
| with a `RateLimit` of RQ's | the same moments: what the limit holds it back is waiting, too |

So a limit that starves jobs shows in `jobtelemetry_job_wait_seconds`, however they came to it; how many it holds
back just now is `jobtelemetry_queue_jobs{status="rate_limited"}`. Where the producer is not instrumented, RQ tells no
more than when the limit let a job go, and its wait begins there.
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
    return f"{_HEAD}\n## Labels\n\n{table}\n\n{_WORKERS}\n\n{states}\n\n{_WAITS}\n## Families\n\n{sections}"


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
        facts.append("buckets " + ", ".join(f"{bound:g}" for bound in family.buckets))
    return f"### `{family.name}`\n\n{family.help}\n\n{' · '.join(facts)}\n"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is what it is for
