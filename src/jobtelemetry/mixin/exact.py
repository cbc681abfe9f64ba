"""By how much a counter grew within a window, exactly: the one expression for it, and the recording rules behind it.

``increase()`` extrapolates (three executions become 3.2), and takes every fall for a restart from 0. The counters live
in Redis: they know nothing of restarts, and can go back a little (a fail-over to a replica that lagged), go back far
(an older state was restored), or be gone and begin anew. So what counts is::

    the value at the end - the value at the beginning + all that it fell in between

where a counter that is not there is 0, if somebody looked. Per family there are four recorded series (see
:func:`rules`); the alerts and the panels read those that are reckoned from them.

What two evaluations cannot tell stays unknown: falls while no exporter was scraped or just before, falls while one
replica ends and another is behind it, and what ended between a fall and the next look.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobtelemetry import contract
from jobtelemetry.contract import Family
from jobtelemetry.mixin.durations import seconds, step
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.mixin.rules import Recording

#: The counters whose growth is asked for.
FAMILIES: tuple[Family, ...] = (
    contract.JOB_EXECUTIONS,
    contract.JOB_ERRORS,
    contract.JOB_CANCELLATIONS,
    contract.JOB_RATE_LIMITED,
    contract.HANDLER_ERRORS,
    contract.SERIES_DROPPED,
)
#: Of these no rule asks for the growth, only panels, which look themselves.
_SHOWN_ONLY = (contract.JOB_CANCELLATIONS,)
#: A replica's last value is remembered for so many evaluations, so that the others catch up when it ends ...
_REMEMBERED = 5
#: ... and that it looked for fewer: so a counter is gone only if somebody looked and did not see it.
_LOOKED = 3


def once(family: Family) -> str:
    """The counter once, however many replicas show it."""
    return f"series:{_base(family)}:max"


def begun(family: Family) -> str:
    """When it began to count, as the last of the replicas says."""
    return f"series:{_base(family)}:created"


def fallen(family: Family) -> str:
    """By how much it fell since the evaluation before; mostly there is none."""
    return f"series:{_base(family)}:fallen"


def looked(family: Family) -> str:
    """Whether somebody looked: then a counter that is not there did not exist."""
    return f"installation:{_base(family)}:looked"


def rules(q: PromQL, family: Family) -> tuple[Recording, ...]:
    """What is recorded of a counter at every evaluation.

    It fell by all that it was, if it began anew or is gone; by the difference, if it is only less than it was. A
    generation of numbers that begins with an older state gives that moment to all its counters: they did not begin
    then.
    """
    labels, interval = q.by(*q.labels(family)), q.config.interval
    memory, recent = (f"{many * seconds(interval)}s" for many in (_REMEMBERED, _LOOKED))
    before = f"{once(family)} offset {interval}"
    # Not the recorded one: that would be looked back for where Prometheus was restarted meanwhile.
    there = f"max by ({q.by()}) (last_over_time({q.raw(contract.UP)}[{recent}])) == 1"
    generation = f"max by ({q.by()}) ({q.raw(contract.GENERATION_STARTED)})"
    return (
        Recording(once(family), f"max by ({labels}) (last_over_time({q.raw(family)}[{memory}]))"),
        Recording(begun(family), f"min by ({labels}) (last_over_time({q.raw(family, suffix='_created')}[{memory}]))"),
        *(() if family in _SHOWN_ONLY else (Recording(looked(family), there),)),
        Recording(
            fallen(family),
            f"{before} and {begun(family)} > {begun(family)} offset {interval}\n"
            f"  unless {begun(family)} <= on ({q.by()}) group_left () {generation}\n"
            f"or ({before} unless {once(family)}) and on ({q.by()}) ({there})\n"
            f"or {before} - {once(family)} > 0",
        ),
    )


def gained(q: PromQL, family: Family, window: str, extra: str = "") -> str:
    """By how much a counter grew within a window, for a rule.

    Args:
        q: Writes expressions.
        family: One of :data:`FAMILIES`.
        window: A duration.
        extra: Matchers, such as :func:`jobtelemetry.mixin.promql.in_state` gives.
    """
    chosen = f"{{{extra}}}" if extra else ""
    now = f"{once(family)}{chosen}"
    searched = f":{step(window)}" if seconds(window) > 3600 else ""
    return _grown(
        _Parts(
            end=now,
            begin=f"{now} offset {window}",
            # A fall that was noted at the window's very beginning came before it.
            fallen=f"sum_over_time({fallen(family)}{chosen}[{seconds(window) - 1}s])",
            known=f"{looked(family)} offset {window}",
            begun=f"{begun(family)}{chosen} > time() - {seconds(window)}",
            first=f"min_over_time({now}[{window}{searched}])",
        ),
        q,
        family,
    )


def gained_on_show(q: PromQL, family: Family, window: str, extra: str = "", *, step: str = "", span: str = "") -> str:
    """The same for a panel, which reads the counters themselves: what was counted a moment ago is on show.

    Args:
        q: Writes expressions.
        family: A counter.
        window: A variable of Grafana's, such as ``$__range``.
        extra: Further matchers.
        step: Makes the search for the first look a subquery, for a long window.
        span: The window in seconds.
    """
    labels = q.by(*q.labels(family))
    begin = f"{q.of(family, extra, offset=window)}"
    subquery = f"[{window}{':' + step if step else ''}]"
    known = f"max by ({q.by()}) ({q.raw(contract.UP)} offset {window}) == 1"
    return _grown(
        _Parts(
            end=q.of(family, extra),
            begin=begin,
            fallen=f"sum_over_time({fallen(family)}{q.matchers(family, extra)}[{window}])"
            if family in FAMILIES
            else "",
            known=f"({known})",
            begun=f"{q.of(family, extra, suffix='_created')} > time() - {span}",
            first=f"min by ({labels}) (min_over_time({q.raw(family, extra)}{subquery}))",
        ),
        q,
        family,
    )


@dataclass(frozen=True)
class _Parts:
    """What a growth is reckoned from."""

    end: str
    begin: str
    fallen: str
    known: str
    begun: str
    first: str


def _grown(parts: _Parts, q: PromQL, family: Family) -> str:
    labels = q.by(*q.labels(family))
    terms = [("end", parts.end), ("begin", f"-({parts.begin})"), ("fallen", parts.fallen)]
    summed = "\n   or ".join(f'label_replace({expr}, "at", "{name}", "", "")' for name, expr in terms if expr)
    generation = f"max by ({q.by()}) ({q.of_installation().raw(contract.GENERATION_STARTED)})"
    anew = f"({parts.begun} unless ({parts.begun}) <= on ({q.by()}) group_left () {generation})"
    return (
        f"sum by ({labels}) (\n      {summed}\n  ) >= 0 and on ({q.by()}) {parts.known}\n"
        f"or {parts.end} and {anew}\n"
        f"or {parts.end} - {parts.first} >= 0"
    )


def _base(family: Family) -> str:
    return family.name.removesuffix("_total")
