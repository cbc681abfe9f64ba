"""``jobtelemetry workers``: what the RQ workers do."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option


@click.command(cls=Operator)
@click.option("--queue", "-q", metavar="QUEUE", help="Those that listen on this queue.")
@click.option(
    "--state", type=click.Choice(["started", "idle", "busy", "suspended"]), help="Those in this state of RQ's."
)
@json_option
@redis_option
def workers(redis_url: str | None, queue: str | None, state: str | None, as_json: bool) -> None:
    """List the live RQ workers: host, process, queues, what each does and since when, heartbeat, and versions.

    Those that are not instrumented come first: what they run is not recorded. Of job functions and classes, which are
    also called workers here, 'jobtelemetry stats' tells.

    \b
    Examples:
      jobtelemetry workers
      jobtelemetry workers --state busy
      jobtelemetry workers --json | jq 'select(.instrumented | not)'
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import rq_worker_table, terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.questions.names import queue_called
    from jobtelemetry.questions.rq_workers import most_telling, read_rq_workers
    from jobtelemetry.store.read import read_snapshot

    where = target(redis_url)
    snapshot = read_snapshot(where.connection, where.keys)
    if queue is not None and snapshot.rq_workers:
        queue_called(queue, {one.name for one in snapshot.queues} | {q for w in snapshot.rq_workers for q in w.queues})
    asked = [
        worker
        for worker in most_telling(snapshot.rq_workers)
        if queue in (None, *worker.queues) and state in (None, worker.status)
    ]
    found = read_rq_workers(where.connection, where.keys, snapshot, asked)
    out = terminal.console()
    columns = rq_worker_table.columns(snapshot.taken_at)
    if as_json:
        terminal.show_json(worker.as_dict() for worker in found)
        return
    if not out.is_terminal:
        terminal.show_lines(columns, found)
    elif found:
        terminal.show_table(out, columns, found)
    if not snapshot.rq_workers:
        terminal.note("No RQ worker is running: start one with 'jobtelemetry worker'.")
    elif not found:
        terminal.note(f"None of the {len(snapshot.rq_workers):,} live RQ workers is such.")
    else:
        missing = snapshot.uninstrumented
        instrumented = f" {missing:,} not instrumented: see 'jobtelemetry doctor'." if missing else ""
        terminal.note(f"{len(found):,} of {len(snapshot.rq_workers):,} live RQ workers.{instrumented}")
