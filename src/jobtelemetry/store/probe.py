"""Whether recording is possible, tried by doing it, outside of RQ's transactions."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import append_probe, text


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
