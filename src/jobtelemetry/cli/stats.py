"""``jobtelemetry stats``: what happened, per worker."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import Target, redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import filters, json_option, since_option
from jobtelemetry.questions.names import UnknownNameError
from jobtelemetry.questions.stats import WorkerStats


@click.command(cls=Operator)
@filters("worker", "queue", "source")
@since_option("Only what was recorded no longer ago than this, from the execution log.")
@json_option
@redis_option
def stats(
    redis_url: str | None,
    worker: str | None,
    queue: str | None,
    source: str | None,
    since: float | None,
    as_json: bool,
) -> None:
    """Sum up executions per worker: states, ratios, run times, waits, last completion, and all together.

    Without --since this is what the counters hold: exact, of all time, with p50 and p95 estimated from histograms as
    Prometheus does it. With --since it is worked out from the execution log, and a line says from how many entries and
    since when: a log that does not reach back so far is INCOMPLETE.

    \b
    success = completed / (completed + discard)
    match   = completed / (completed + cancelled)

    \b
    Examples:
      jobtelemetry stats --source cinema_city
      jobtelemetry stats --worker ShowtimeProcessJob --since 24h
      jobtelemetry stats --json | jq 'select(.worker == null)'
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import stats_table, terminal
    from jobtelemetry.cli.connecting import target

    where = target(redis_url)
    if since is None:
        lines, said = _from_counters(where, worker, queue, source)
        facts: dict[str, object] = {"from": "counters"}
    else:
        lines, said, facts = _from_log(where, worker, queue, source, since)
    out = terminal.console()
    if as_json:
        terminal.show_json(line.as_dict() | facts for line in lines)
        return
    if not out.is_terminal:
        terminal.show_lines(stats_table.COLUMNS, lines)
    elif lines[-1].executions:
        stats_table.show(out, lines)
    terminal.note(said)


def _from_counters(
    where: Target, worker: str | None, queue: str | None, source: str | None
) -> tuple[tuple[WorkerStats, ...], str]:
    from jobtelemetry.cli.terminal import moment
    from jobtelemetry.questions.names import queue_called, workers_called
    from jobtelemetry.questions.stats import from_counters
    from jobtelemetry.store.read import read_snapshot

    snapshot = read_snapshot(where.connection, where.keys)
    names = workers_called(worker, {series.worker for series in snapshot.seen}) if worker else None
    if queue:
        queue_called(queue, {series.queue for series in snapshot.seen})
    sources = {series.source for series in snapshot.seen} - {""}
    if source and source not in sources:
        raise UnknownNameError(_no_source(source, sources))
    lines = from_counters(
        snapshot,
        lambda series: (
            (names is None or series.worker in names)
            and queue in (None, "", series.queue)
            and source in (None, "", series.source)
        ),
    )
    if not snapshot.seen:
        return lines, "Nothing has been recorded in this Redis yet: see 'jobtelemetry doctor'."
    return lines, f"From the counters: every execution since {moment(snapshot.created, snapshot.taken_at, zone=True)}."


def _from_log(
    where: Target, worker: str | None, queue: str | None, source: str | None, since: float
) -> tuple[tuple[WorkerStats, ...], str, dict[str, object]]:
    from jobtelemetry.cli.choosing import selection
    from jobtelemetry.cli.progress import with_progress
    from jobtelemetry.cli.scope import complete, nothing_found, scope
    from jobtelemetry.questions.log import extent, newest_first
    from jobtelemetry.questions.stats import from_log

    wanted = selection(where, worker=worker, queue=queue, source=source)
    reach = extent(where.connection, where.keys, where.config.log_size)
    begin = reach.now - since
    entries = with_progress(newest_first(where.connection, where.keys, begin), reach.length, "Reading the log")
    lines = from_log(wanted.of(entries))
    read = lines[-1].executions
    facts = {"from": "log", "since": begin, "complete": complete(reach, begin), "log_begins": reach.first_at}
    said = scope(reach, begin, read) if read else nothing_found(reach, begin, where.config.log_size)
    return lines, said, facts


def _no_source(source: str, known: set[str]) -> str:
    if known:
        return f"no job came from {source!r}; there are {', '.join(sorted(known))}"
    return (
        f"no job came from {source!r}: no source is recorded. Set JOBTELEMETRY_EXTRA_LABELS=source for the RQ workers "
        "and for what enqueues, and meta={'source': ...} on the jobs"
    )
