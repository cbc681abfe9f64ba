"""``jobtelemetry queues``: what waits, and whether anybody works on it."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option


@click.command(cls=Operator)
@click.option(
    "--over",
    type=click.FloatRange(min=0, max=3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Look twice, so far apart, for rates and the time until a queue is empty; 0 looks once.",
)
@click.option("--limit", "-n", type=click.IntRange(min=0), default=50, show_default=True, help="At most; 0 for all.")
@json_option
@redis_option
def queues(redis_url: str | None, over: float, limit: int, as_json: bool) -> None:
    """List the queues: jobs by status, the oldest job, what goes in and out, who listens, the scheduler, overdue jobs.

    What needs a look comes first: jobs that no RQ worker listens to, overdue scheduled jobs, the longest wait.
    'in' counts what instrumented producers put on the queue; 'out' counts executions that ended; 'empty in' is how long
    the jobs that wait last if they go on to become fewer as fast.

    \b
    Examples:
      jobtelemetry queues
      jobtelemetry queues --over 30
      jobtelemetry queues --over 0 --json | jq 'select(.jobs.queued > 100)'
    """  # noqa: D301 - click wants the character, not the backslash
    import time

    from jobtelemetry.cli import queue_table, terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.questions.queues import queue_lines, tally_queues
    from jobtelemetry.store.read import Reader

    where = target(redis_url)
    reader = Reader(where.connection, where.keys)
    before = None
    if over:
        before = tally_queues(reader.read())
        time.sleep(over)
    snapshot = reader.read()
    lines = queue_lines(snapshot, before)
    shown, out = lines[: limit or None], terminal.console()
    columns = queue_table.columns(snapshot.taken_at)
    if as_json:
        terminal.show_json(line.as_dict() for line in shown)
        return
    if not out.is_terminal:
        terminal.show_lines(columns, shown)
    elif shown:
        terminal.show_table(out, columns, shown)
    if not lines:
        terminal.note("RQ knows no queue here: nothing has been enqueued yet.")
    elif len(shown) < len(lines):
        terminal.note(f"{len(lines) - len(shown):,} more with --limit 0.")
