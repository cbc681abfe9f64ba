"""The connection of a command: the option, the settings, and a client that gives up soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
import redis

from jobtelemetry.cli import rq_settings
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
    """``--redis-url`` and ``--config``, the same in every command."""
    return _url_option(rq_settings.settings_option(function))


def _url_option(function: F) -> F:
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
    connection = client(config, redis_url, connect_timeout=_CONNECT_TIMEOUT, reply_timeout=_REPLY_TIMEOUT)
    if context := click.get_current_context(silent=True):
        context.call_on_close(connection.close)
    return Target(connection, Keys(config.key_prefix), config)


def client(config: Config, redis_url: str | None, *, connect_timeout: float, reply_timeout: float) -> redis.Redis:
    """The client that the options and variables ask for: of a URL, or of RQ's settings file.

    Args:
        config: The settings, with the option.
        redis_url: The option.
        connect_timeout: Seconds for connecting.
        reply_timeout: Seconds for a reply.

    Raises:
        ConfigError: What they say cannot be used.
    """
    if named := rq_settings.module(redis_url):
        return rq_settings.connection(named, connect_timeout=connect_timeout, reply_timeout=reply_timeout)
    return connect(config.redis_url, connect_timeout=connect_timeout, reply_timeout=reply_timeout)


def described(ctx: click.Context) -> str:
    """Which Redis a command asks, without a password: ``Redis at redis://localhost:6379/0``, ``Redis of settings``."""
    redis_url = ctx.params.get("redis_url")
    if named := rq_settings.module(redis_url):
        return f"Redis of {named}"
    return f"Redis at {shown(Config.from_env().with_overrides(redis_url=redis_url).redis_url)}"
