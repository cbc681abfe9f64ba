"""The command ``jobtelemetry``: one file per subcommand, imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from jobtelemetry._version import __version__
from jobtelemetry.errors import ConfigError, JobTelemetryError
from jobtelemetry.text import terminal_text

_LONGEST_MESSAGE = 4_000

#: Subcommand -> what ``--help`` says about it. ``worker-pool`` is ``worker_pool`` in ``cli/worker_pool.py``.
COMMANDS = {
    "demo": "Run a whole RQ worker pool on an embedded server and watch it.",
    "exporter": "Serve /metrics and pages for people from what Redis holds.",
    "runbook": "What to do about an alert.",
    "mixin": "Make Grafana dashboards and Prometheus rules for your labels and thresholds.",
    "worker": "RQ's worker command, instrumented.",
    "worker-pool": "RQ's worker-pool command, instrumented.",
    "cron": "RQ's cron command, instrumented.",
    "failures": "What is broken: failures by worker, error and message.",
    "workers": "RQ workers: where each runs, on what, since when.",
    "queues": "Queues: what waits, in and out, who listens.",
    "watch": "A live view over the whole terminal.",
    "jobs": "List executions, newest first: how each ended and why.",
    "stats": "States, ratios, run times and waits per worker.",
    "top": "What comes most often: by film_id, reason, error_type, ...",
    "metrics": "Metrics of your own: what jobs measured.",
    "show": "The story of one job.",
    "tail": "Executions as they end.",
    "deploy": "Mark deploys, or list them.",
    "compare": "Did the success or match ratio change?",
    "doctor": "Check that nothing is lost and say what to do.",
    "reset": "Forget a worker that was renamed or removed.",
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is called, so that ``--help`` is quick and needs no extra."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{__name__}.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; of one that there is not, say which may be meant."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            from difflib import get_close_matches

            close = get_close_matches(name.lower(), COMMANDS, n=3)
            hint = f" Did you mean {', '.join(close)}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; an error of jobtelemetry's own becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise _WrongSetting(_harmless(str(error))) from error
        except JobTelemetryError as error:
            raise click.ClickException(_harmless(str(error))) from error
        except click.ClickException as error:
            error.message = _harmless(error.message)  # type: ignore[misc,unused-ignore]  # final in new versions
            raise


def _harmless(message: str) -> str:
    """An error message may name what stands in Redis: it commands no terminal either, and ends."""
    return "\n".join(map(terminal_text, message[:_LONGEST_MESSAGE].splitlines()))


class _WrongSetting(click.ClickException):
    """``Error: ...`` on stderr, and the exit code that click gives to a wrong option."""

    exit_code = 2


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="See 'jobtelemetry COMMAND --help' for the options of a command.",
)
@click.version_option(__version__, package_name="jobtelemetry")
def main() -> None:
    """Exact telemetry for RQ workers: every job ending counted once, cancelled kept apart from failed."""
