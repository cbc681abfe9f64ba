"""The connection of a command: the option, the settings, and a client that gives up soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
import redis

from jobtelemetry.config import Config
from jobtelemetry.exporter.connection import connect
from jobtelemetry.redis_url import shown
from jobtelemetry.settings import otherwise
from jobtelemetry.store.keys import Keys

F = TypeVar("F", bound=Callable[..., Any])

#: Seconds for connecting, and for a reply.
_CONNECT_TIMEOUT = 3.0
_REPLY_TIMEOUT = 10.0


@dataclass(frozen=True)
class Target:
    """Where to ask: the client, the names of the keys, and the settings."""

    connection: redis.Redis
    keys: Keys
    config: Config


def redis_option(function: F) -> F:
    """``--redis-url``, the same in every command."""
    return click.option(
        "--redis-url",
        "-u",
        metavar="URL",
        help=f"RQ's Redis: redis://, rediss:// or unix://. {otherwise(Config, 'redis_url')}",
    )(function)


def target(redis_url: str | None) -> Target:
    """Connect with the first command that is sent, not here.

    Args:
        redis_url: The option.

    Raises:
        ConfigError: The option or a variable has no usable value.
    """
    config = Config.from_env().with_overrides(redis_url=redis_url)
    connection = connect(config.redis_url, connect_timeout=_CONNECT_TIMEOUT, reply_timeout=_REPLY_TIMEOUT)
    if context := click.get_current_context(silent=True):
        context.call_on_close(connection.close)
    return Target(connection, Keys(config.key_prefix), config)


def described(ctx: click.Context) -> str:
    """Which Redis a command asks, without a password: ``Redis at redis://localhost:6379/0``."""
    return f"Redis at {shown(Config.from_env().with_overrides(redis_url=ctx.params.get('redis_url')).redis_url)}"
