"""What every command for operators has in common: one clear line instead of a traceback, and documented exit codes."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

#: Exit code -> when.
EXIT_CODES = {
    0: "done; also if nothing was found, and if the reader of a pipe went away",
    1: "it could not be done: Redis does not answer or refuses, the job is unknown, a question was answered with no",
    2: "wrong use: an option, a setting, or a name that nothing has",
    130: "ended by Ctrl-C",
}
_INTERRUPTED = 130


class Operator(click.Command):
    """A command that ends quietly on Ctrl-C and on a closed pipe, and explains what Redis says."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and write everything out while errors of that can still be caught."""
        from redis.exceptions import RedisError

        from jobtelemetry.questions.names import UnknownNameError

        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except UnknownNameError as error:
            raise _WrongName(str(error)) from error
        except RedisError as error:
            raise click.ClickException(_told_by_redis(error, ctx)) from error
        except BrokenPipeError:
            _discard_output()
            ctx.exit(0)
        except KeyboardInterrupt:
            _discard_output()
            ctx.exit(_INTERRUPTED)
        return result


class _WrongName(click.ClickException):
    exit_code = 2


def _told_by_redis(error: Exception, ctx: click.Context) -> str:
    """One line: which Redis, and what it said."""
    from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, ResponseError
    from redis.exceptions import ConnectionError as RedisConnectionError

    from jobtelemetry.cli.connecting import described
    from jobtelemetry.redis_url import scrub

    said = scrub(" ".join(str(error).split())).rstrip(".")
    place = described(ctx)
    if isinstance(error, AuthenticationError):
        return f"{place} refuses the login: {said}"
    if isinstance(error, BusyLoadingError):
        return f"{place} is still loading its data; try again in a moment"
    if isinstance(error, NoPermissionError):
        return f"{place} does not allow this user to do that: {said}"
    if isinstance(error, ResponseError) or not isinstance(error, (RedisConnectionError, TimeoutError)):
        return f"{place} answered with an error: {said}"
    return f"{place} does not answer: {said or type(error).__name__}; is --redis-url right?"


def _discard_output() -> None:
    """Nobody reads any more; the flush at exit must not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
