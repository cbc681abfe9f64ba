"""RQ's settings file, ``-c settings``, for commands that are not RQ's: where RQ's Redis is, Sentinel included."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobtelemetry.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_META = "jobtelemetry.cli.rq_settings"
#: These go before the settings file, as in RQ's own commands.
_BEFORE = ("JOBTELEMETRY_REDIS_URL", "RQ_REDIS_URL")


def settings_option(function: F) -> F:
    """``--config``; commands need not know of it, :func:`connection` does."""
    return click.option(
        "--config",
        "-c",
        "rq_settings",
        metavar="MODULE",
        envvar="RQ_CONFIG",
        expose_value=False,
        callback=lambda ctx, _, module: ctx.meta.__setitem__(_META, module),
        help="RQ's settings file, as a Python module, for REDIS_URL, SENTINEL or REDIS_HOST. Else RQ_CONFIG.",
    )(function)


def module(redis_url: str | None) -> str | None:
    """The settings file that says where Redis is; ``None`` where there is none, or something goes before it.

    Args:
        redis_url: The option, which goes before everything.
    """
    context = click.get_current_context(silent=True)
    named = context.meta.get(_META) if context is not None else None
    if not named or redis_url or any(os.environ.get(name) for name in _BEFORE):
        return None
    return str(named)


def connection(named: str, *, connect_timeout: float, reply_timeout: float) -> redis.Redis:
    """The client that RQ would make of a settings file, which gives up soon. It connects with the first command.

    Args:
        named: What :func:`module` says.
        connect_timeout: Seconds for connecting.
        reply_timeout: Seconds for a reply.

    Raises:
        ConfigError: There is no such module, or what it says cannot be used.
    """
    from rq.cli.helpers import get_redis_from_config, read_config_file

    if "." not in sys.path:
        sys.path.append(".")  # as RQ's --path has it
    try:
        settings = read_config_file(named)  # type: ignore[no-untyped-call,unused-ignore]
    except Exception as error:  # noqa: BLE001 - whatever a module of the user's raises
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"--config must be a Python module with RQ's settings, got {named!r}: {said}") from None
    try:
        client: redis.Redis = get_redis_from_config(settings)  # type: ignore[no-untyped-call,unused-ignore]
    except Exception as error:  # noqa: BLE001 - what it says may quote the URL, and a password in it
        names = "REDIS_URL, SENTINEL or REDIS_HOST"
        raise ConfigError(f"{names} of {named!r} cannot be used as RQ uses it: {type(error).__name__}") from None
    limits = {"socket_connect_timeout": connect_timeout, "socket_timeout": reply_timeout}
    pool = client.connection_pool
    pool.connection_kwargs.update(limits, retry=Retry(NoBackoff(), 0))
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
        sentinel.connection_pool.connection_kwargs.update(limits, retry=Retry(NoBackoff(), 0))
    return client
