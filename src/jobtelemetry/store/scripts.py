"""The Lua scripts: each with the names of its keys, in one place, and one packed argument.

A script's source names its keys (``META``), the fields of the hashes (``FIELD.executions``, ``SHARED.counted``) and an
account's columns (``COLUMN.recent``); :class:`Script` puts in what :mod:`jobtelemetry.store.keys` says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import resources
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError

from jobtelemetry.store import keys as names
from jobtelemetry.text import writable

_COLUMNS = {
    "succeeded": names.SUCCEEDED,
    "failed": names.FAILED,
    "unbooked": names.UNBOOKED,
    "succeeded_again": names.SUCCEEDED_AGAIN,
    "failed_again": names.FAILED_AGAIN,
    "recent": names.RECENT,
    "later": names.LATER,
    "noted": names.NOTED,
}
_NAMED: dict[str, Mapping[str, object]] = {
    "FIELD": names.FIELDS,
    "SHARED": names.META_FIELDS,
    "COLUMN": _COLUMNS,
    "FAMILY": names.FAMILY_FIELDS,
    "SERIES": names.SERIES_FIELDS,
}
_NAME = re.compile(rf"\b({'|'.join(_NAMED)})\.(\w+)")


#: Made once: ``json.dumps`` makes an encoder for every call that is not its usual one.
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

#: Every script, and the text of those that were made so far by its digest, as the ``EVALSHA`` of a command names it.
_SCRIPTS: list[Script] = []
_TEXTS: dict[bytes, bytes] = {}


class Script:
    """One script. It is sent by its digest; where Redis does not know it, :func:`run_again` sends the text.

    Inside RQ's transaction Redis then applies RQ's commands and not ours. Sent again right after it, ours does what it
    would have done: the entry in the running table is still there. Until then it is as if the process had died, and the
    parent or a reconciler concludes what is left.

    Its text is made when it is first needed: who enqueues needs one of them. An RQ worker makes all (:func:`load`)
    before it forks.

    Args:
        sources: The names of its Lua files, in order.
        keys: The names of its keys, in order; a script may take more that have no names.
    """

    def __init__(self, *sources: str, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self._sources = sources
        _SCRIPTS.append(self)

    @cached_property
    def text(self) -> bytes:
        """With the names of its keys, fields and columns put in."""
        declared = "\n".join(f"local {name} = KEYS[{number}]" for number, name in enumerate(self.keys, 1))
        text = "\n".join((declared, *map(_source, self._sources))).replace("LAYOUT", f"'{names.LAYOUT}'")
        return _NAME.sub(_put_in, text).encode()

    @cached_property
    def digest(self) -> bytes:
        """What it is called by."""
        digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()
        _TEXTS[digest] = self.text
        return digest

    def append(self, pipeline: Any, keys: Sequence[str | bytes], packed: Mapping[str, object]) -> Any:
        """Append it to a pipeline."""
        return pipeline.execute_command(*self.command(keys, packed))

    def run(self, connection: Any, keys: Sequence[str | bytes], packed: Mapping[str, object]) -> Any:
        """Execute it on a connection.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        return run(connection, self.command(keys, packed))

    def command(self, keys: Sequence[str | bytes], packed: Mapping[str, object]) -> tuple[Any, ...]:
        """The command, with the keys in whatever form."""
        if len(keys) < len(self.keys):
            raise ValueError(f"the script takes the keys {', '.join(self.keys)}; got {len(keys)}")
        return self.prepared(as_keys(*keys), packed)

    def prepared(self, keys: tuple[bytes, ...], packed: Mapping[str, object]) -> tuple[Any, ...]:
        """The command, with all keys as :func:`as_keys` makes them, for the path of every job.

        All of it is bytes: redis-py would encode it while RQ's transaction is sent, too late to fail.
        """
        return ("EVALSHA", self.digest, b"%d" % len(keys), *keys, pack(packed))


def as_keys(*names: str | bytes) -> tuple[bytes, ...]:
    """Names of keys as Redis gets them."""
    return tuple([name if type(name) is bytes else name.encode("utf-8", "backslashreplace") for name in names])  # type: ignore[union-attr]


def run(connection: Any, command: tuple[Any, ...]) -> Any:
    """Execute a script's command on a connection, which must not be a pipeline that waits."""
    try:
        return connection.execute_command(*command)
    except NoScriptError:
        return run_again(connection, command)


def run_again(connection: Any, command: tuple[Any, ...]) -> Any:
    """Execute a script's command that Redis did not know, with its text; from then on Redis knows it."""
    return connection.execute_command(*by_text(command))


def load(connection: Any) -> None:
    """Make every script, and make it known to Redis, so that none has to be sent twice.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or does not let this user; then each is sent when needed.
    """
    pipe = connection.pipeline(transaction=False)
    for script in _SCRIPTS:
        pipe.script_load(_TEXTS[script.digest])
    pipe.execute()


def execute(pipeline: Any) -> list[Any]:
    """Execute a pipeline without a transaction that has scripts in it; those that Redis did not know, once more.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    commands = [command for command, *_ in pipeline.command_stack]
    replies = list(pipeline.execute(raise_on_error=False))
    for number, (command, reply) in enumerate(zip(commands, replies, strict=True)):
        if isinstance(reply, NoScriptError):
            replies[number] = run_again(Redis(connection_pool=pipeline.connection_pool), command)
        elif isinstance(reply, Exception):
            raise reply
    return replies


def by_text(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same command with its text, for where it must be tried whether scripts may be sent."""
    return ("EVAL", _TEXTS[command[1]], *command[2:])


def pack(facts: Mapping[str, object]) -> bytes:
    """Facts as the one argument of a script; what has no value is left out of it by the caller."""
    text = _as_json(facts)
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates, which Python makes of file names that are not UTF-8
        return _as_json(_writable(facts)).encode()


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, Mapping):
        return {writable(key): _writable(inner) for key, inner in value.items()}
    return [_writable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


@cache
def _source(name: str) -> str:
    """A source without comments and indentation: it travels with every call."""
    lines = (resources.files(__package__) / "lua" / f"{name}.lua").read_text("utf-8").splitlines()
    stripped = (line.strip() for line in lines)
    return "\n".join(line.partition(" -- ")[0].rstrip() for line in stripped if line and not line.startswith("--"))


def _put_in(found: re.Match[str]) -> str:
    table, name = found.groups()
    if name not in _NAMED[table]:
        raise KeyError(f"{table}.{name} is not declared in store/keys.py")
    return f"'{_COLUMNS[name] if table == 'COLUMN' else name}'"
