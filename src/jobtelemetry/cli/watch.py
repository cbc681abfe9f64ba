"""``jobtelemetry watch``: a live view for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator

if TYPE_CHECKING:
    from jobtelemetry.cli.connecting import Target
    from jobtelemetry.cli.live_view import Scene


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
@redis_option
def watch(redis_url: str | None, interval: float, once: bool) -> None:
    """Watch everything at once, over the whole terminal, until Ctrl-C: verdicts, workers, queues, RQ workers, failures.

    The worst comes first, and what does not fit is left out with a count. A Redis that goes away is waited for.

    \b
    Examples:
      jobtelemetry watch
      jobtelemetry watch --interval 10
      jobtelemetry watch --once
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.live_view import Watcher, drawn

    where, out = target(redis_url), terminal.console()
    watcher = Watcher(where)
    if once:
        out.print(drawn(watcher.look(), out.width, None))
        return
    if not out.is_terminal:
        raise click.UsageError("watch needs a terminal; in a pipe use --once, or 'jobtelemetry stats' and 'queues'")
    _live(where, watcher, out, interval)


def _live(where: Target, watcher: Any, out: Any, interval: float) -> None:
    import time

    from redis.exceptions import AuthenticationError, RedisError
    from rich.live import Live

    from jobtelemetry.cli.live_view import drawn

    scene: Scene = watcher.look()
    with Live(console=out, screen=True, auto_refresh=False, transient=True) as live:
        while True:
            live.update(drawn(scene, out.width, out.height), refresh=True)
            time.sleep(interval)
            try:
                scene = watcher.look()
            except AuthenticationError:
                raise
            except (RedisError, OSError) as error:
                scene = scene.away(" ".join(str(error).split()) or type(error).__name__)
