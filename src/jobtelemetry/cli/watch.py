"""``jobtelemetry watch``: a live view for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option

if TYPE_CHECKING:
    from jobtelemetry.cli.live_view import Scene, Watcher


@click.command(cls=Operator)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.5, max=3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Show the view once and end; this also works in a pipe.")
@json_option
@redis_option
def watch(redis_url: str | None, interval: float, once: bool, as_json: bool) -> None:
    """Watch everything at once, over the whole terminal, until Ctrl-C: verdicts, workers, queues, RQ workers, failures.

    The worst comes first, and what does not fit is left out with a count. A Redis that goes away is waited for. With
    --json it is one object a look.

    \b
    Examples:
      jobtelemetry watch
      jobtelemetry watch --interval 10
      jobtelemetry watch --once --json | jq .jobs.headline
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.live_view import Watcher, drawn

    where, out = target(redis_url), terminal.console()
    watcher = Watcher(where)
    if as_json:
        for scene in islice(_looks(watcher, interval), 1 if once else None):
            terminal.show_json([scene.as_dict()])
            out.file.flush()
        return
    if once:
        out.print(drawn(watcher.look(), out.width, None))
        return
    if not out.is_terminal:
        raise click.UsageError("watch needs a terminal; in a pipe use --once, or 'jobtelemetry stats' and 'queues'")
    _live(watcher, out, interval)


def _live(watcher: Watcher, out: Any, interval: float) -> None:
    from rich.live import Live

    from jobtelemetry.cli.live_view import drawn

    looks = _looks(watcher, interval)
    first = next(looks)  # a Redis that is away at the beginning is an error, and the screen stays as it is
    with Live(drawn(first, out.width, out.height), console=out, screen=True, auto_refresh=False) as live:
        for scene in looks:
            live.update(drawn(scene, out.width, out.height), refresh=True)


def _looks(watcher: Watcher, interval: float) -> Iterator[Scene]:
    """One look after the other; through an outage the last one stays."""
    import time

    from redis.exceptions import AuthenticationError, RedisError

    scene = watcher.look()
    while True:
        yield scene
        time.sleep(interval)
        try:
            scene = watcher.look()
        except AuthenticationError:
            raise
        except (RedisError, OSError) as error:
            scene = scene.away(" ".join(str(error).split()) or type(error).__name__)
