"""``jobtelemetry metrics``: users' own metrics."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option


@click.command(cls=Operator)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--limit", "-n", type=click.IntRange(min=0), default=50, show_default=True, help="At most; 0 for all.")
@json_option
@redis_option
def metrics(redis_url: str | None, name: str | None, limit: int, as_json: bool) -> None:
    """List metrics of your own, which jobs measured with jobtelemetry's Counter, Gauge and Histogram; or one's series.

    The value of a counter is the sum of its series, a histogram has how many observations it is made of, with their
    mean, p50 and p95, and a gauge has a value here where it has one series alone. The largest series come first.

    \b
    Examples:
      jobtelemetry metrics
      jobtelemetry metrics cinema_tickets_total
      jobtelemetry metrics --json | jq '{name, total}'
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import own_metric_table, terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.questions.names import metric_called
    from jobtelemetry.questions.own_metrics import own_metrics
    from jobtelemetry.store.read import read_snapshot

    where = target(redis_url)
    snapshot = read_snapshot(where.connection, where.keys)
    found = own_metrics(snapshot.own)
    one = None
    if name is not None:
        wanted = metric_called(name, [metric.name for metric in found])
        one = next(metric for metric in found if metric.name == wanted)
    out = terminal.console()
    if as_json:
        terminal.show_json(metric.as_dict(limit or None) for metric in ([one] if one else found[: limit or None]))
    elif one:
        own_metric_table.show_series(out, one, one.lines[: limit or None])
    else:
        own_metric_table.show(out, found[: limit or None])
    if as_json:
        return
    left = max(0, len(one.lines if one else found) - limit) if limit else 0
    said = [
        "No metric of your own is known here: a job makes one with jobtelemetry.Counter, Gauge or Histogram."
        * (not found),
        f"{left:,} more with --limit 0." * bool(left),
        (one.help if one else ""),
        f"It has been defined in {one.definitions} ways; the newest is shown." if one and one.definitions > 1 else "",
        f"{snapshot.own_unwritten:,} executions died before what they measured was written."
        * bool(snapshot.own_unwritten),
        f"{snapshot.own_left_out:,} observations were left out." * bool(snapshot.own_left_out),
    ]
    if text := " ".join(filter(None, said)):
        terminal.note(text)
