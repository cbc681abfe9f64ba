"""Whether recording is possible, tried by doing it, outside of RQ's transactions."""

from __future__ import annotations

import re
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import append_probe, text

#: In the words of Redis 6, Redis 7 and Valkey, and of ``probe.lua``.
_COMMAND = re.compile(r"permissions to run the '([\w|-]+)' command|may not run ((?:[A-Z]+(?:, )?)+)")
_KEY, _CHANNEL = re.compile(r"\bkeys?\b"), re.compile(r"\bchannels?\b")


def is_refusal(problem: str) -> bool:
    """Whether it is Redis's access control that refuses."""
    word = problem.upper()  # redis-py takes the code off what it raises; what the script answers has it
    return "NOPERM" in word or "PERMISSION" in word


def missing_rules(problem: str, keys: Keys) -> tuple[str, ...]:
    """The ACL rules that a refusal asks for: ``("+xadd",)``. Empty where Redis does not say."""
    found = _COMMAND.search(problem)
    if found is not None:
        names = (found[1] or found[2]).replace(",", " ").split()
        return tuple(f"+{name.lower()}" for name in names)
    if not is_refusal(problem):
        return ()
    if _KEY.search(problem):
        return (f"~{keys.prefix}:*",)
    return (f"&{keys.prefix}:*",) if _CHANNEL.search(problem) else ()


def probe(connection: Any, keys: Keys) -> str:
    """Try what recording does. Returns ``""`` or what is wrong, in Redis's words.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis does not answer; that is RQ's to say.
    """
    pipe = connection.pipeline(transaction=False)
    append_probe(pipe, keys)
    try:
        answer = next(filter(None, pipe.execute()), "")
    except (RedisConnectionError, RedisTimeoutError):
        raise
    except RedisError as error:
        return str(error).rpartition("caused error: ")[2]
    return text(answer)
