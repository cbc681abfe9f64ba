"""``jobtelemetry reset``: forget a worker that is no more."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import WorkerName, json_option


@click.command(cls=Operator)
@click.option(
    "--worker",
    "-w",
    required=True,
    type=WorkerName(),
    metavar="NAME",
    help="The job function or class; its last name will do.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@redis_option
def reset(redis_url: str | None, worker: str, yes: bool, as_json: bool) -> None:
    """Remove every series of one worker, for a job class that was renamed or removed.

    Its counts, histograms and timestamps, on all queues and from all sources, go in one step; Prometheus keeps what it
    has scraped, and the execution log its entries. If such a job ends later, its series begin anew at 0.

    \b
    Examples:
      jobtelemetry reset --worker OldShowtimeJob
      jobtelemetry reset --worker cinema.jobs.OldShowtimeJob --yes
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.diagnosis.findings import many
    from jobtelemetry.questions.names import UnknownNameError, workers_called
    from jobtelemetry.store.read import read_snapshot
    from jobtelemetry.store.reset import forget_worker

    where = target(redis_url)
    snapshot = read_snapshot(where.connection, where.keys)
    labels = sorted(workers_called(worker, {series.worker for series in snapshot.seen}))
    if len(labels) > 1:
        raise UnknownNameError(f"{worker!r} can be {' or '.join(labels)}; give one in full")
    label = labels[0]
    ended = sum(counter.value for (series, _), counter in snapshot.executions.items() if series.worker == label)
    running = sum(run.series.worker == label for run in snapshot.running)
    if running:
        terminal.note(f"Careful: {many(running, 'execution')} of {label} running; a new series begins when it ends.")
    if not yes:
        click.confirm(f"Remove {label} with its {many(ended, 'execution')} from the counters?", abort=True, err=True)
    forgotten = forget_worker(where.connection, where.keys, label)
    if as_json:
        terminal.show_json([{"worker": label, "executions": forgotten.executions, "fields": forgotten.fields}])
    else:
        click.echo(f"Removed {label} with {many(forgotten.executions, 'execution')}.")
