"""``jobtelemetry reset``: forget a worker, or a metric of one's own, that is no more."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import Target, redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import WorkerName, json_option
from jobtelemetry.store.snapshot import Snapshot


@click.command(cls=Operator)
@click.option(
    "--worker",
    "-w",
    type=WorkerName(),
    metavar="NAME",
    help="The job function or class; its last name will do.",
)
@click.option("--metric", "-m", metavar="NAME", help="A metric of your own, by its name at the exporter.")
@click.option("--losses", is_flag=True, help="Take away the note that counts are missing, once that is understood.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@redis_option
def reset(
    redis_url: str | None, worker: str | None, metric: str | None, losses: bool, yes: bool, as_json: bool
) -> None:
    """Remove every series of one worker or of one metric of your own, or the note that counts are missing.

    The counts, histograms and timestamps of a worker whose job function or class was renamed or removed go from all
    queues; Prometheus keeps what it has scraped, and the execution log its entries. If such a job ends later, its
    series begin anew at 0.

    A metric of your own (jobtelemetry.Counter, ...) goes with its definition; what is measured later begins anew.

    Where counts were lost (evicted, deleted, restored from an older state), page, alert and doctor say so until
    somebody has looked into it; --losses says that. The numbers do not come back.

    \b
    Examples:
      jobtelemetry reset --worker OldShowtimeJob
      jobtelemetry reset --worker cinema.jobs.OldShowtimeJob --yes
      jobtelemetry reset --losses
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.diagnosis.findings import many
    from jobtelemetry.questions.names import UnknownNameError, workers_called
    from jobtelemetry.store.read import read_snapshot
    from jobtelemetry.store.reset import forget_worker

    if (worker is not None) + (metric is not None) + losses != 1:
        raise click.UsageError("give one of --worker NAME, --metric NAME and --losses")
    where = target(redis_url)
    snapshot = read_snapshot(where.connection, where.keys)
    if metric is not None:
        _forget_metric(where, snapshot, metric, yes=yes, as_json=as_json)
        return
    if worker is None:
        _acknowledge(where, snapshot, yes=yes, as_json=as_json)
        return
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


def _forget_metric(where: Target, snapshot: Snapshot, name: str, *, yes: bool, as_json: bool) -> None:
    from jobtelemetry.cli import terminal
    from jobtelemetry.diagnosis.findings import many
    from jobtelemetry.questions.names import UnknownNameError
    from jobtelemetry.store.reset import forget_metric

    known = {family.name: family for family in snapshot.own}
    if name not in known:
        raise UnknownNameError(f"no metric of your own is called {name!r}; there are: {', '.join(known) or 'none'}")
    number = len(known[name].series) + known[name].unserved
    if not yes:
        # "series" has no plural form of its own.
        click.confirm(f"Remove {name} with its {number:,} series?", abort=True, err=True)
    series, observations = forget_metric(where.connection, where.keys, name)
    if as_json:
        terminal.show_json([{"metric": name, "series": series, "observations": observations}])
    else:
        click.echo(f"Removed {name}: {series:,} series of {many(observations, 'observation')}.")


def _acknowledge(where: Target, snapshot: Snapshot, *, yes: bool, as_json: bool) -> None:
    from jobtelemetry.cli import terminal
    from jobtelemetry.diagnosis.findings import many
    from jobtelemetry.store.books import acknowledge_losses
    from jobtelemetry.store.read import Reader

    if snapshot.counts_lost_at is None:
        raise click.ClickException("no counts are known to be missing")
    summary = f"{many(snapshot.counts_lost, 'execution')} ({snapshot.counts_lost_why})"
    if not yes:
        click.confirm(f"Take away the note that counts are missing: {summary}?", abort=True, err=True)
    reader = Reader(where.connection, where.keys)
    for _ in range(3):  # what nobody has written down yet would come back as another note
        reader.read()
        if not reader.tend():
            break
    acknowledge_losses(where.connection, where.keys)
    if as_json:
        terminal.show_json([{"executions": snapshot.counts_lost, "why": snapshot.counts_lost_why}])
    else:
        click.echo(f"Taken away: {summary}. Those executions stay uncounted.")
