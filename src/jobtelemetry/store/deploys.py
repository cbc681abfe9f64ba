"""Deploy markers: when which version of the application began to run, so that a change has a cause to be held against.

Somebody says so (``jobtelemetry deploy mark``), or an RQ worker that is told its application's version notices that it
is another one than before. Bounded: the newest :data:`MOST` are kept.
"""

from __future__ import annotations

import json
from typing import Any

from jobtelemetry.errors import StoreError
from jobtelemetry.store.keys import APP_VERSION, WORKER_MARK_FIELD, Keys, decode, encode
from jobtelemetry.store.record import text
from jobtelemetry.store.scripts import Script
from jobtelemetry.store.snapshot import Deploy
from jobtelemetry.text import label_text

#: Marks that are kept.
MOST = 100

_DEPLOY = Script("common", "deploy", keys=("DEPLOYS",))
_WORKERS_AT_ONCE = 500


def mark(connection: Any, keys: Keys, version: str, *, by: str = "", again: bool = False) -> bool:
    """Mark a deploy, now.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        version: What is deployed; bounded as a label is.
        by: Who says so, in a word or two.
        again: Whether also if the newest mark is of this version.

    Returns:
        Whether it was marked.

    Raises:
        StoreError: It could not be written.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    return _ask(connection, keys, version, by, "always" if again else "returned") == "marked"


def notice(connection: Any, keys: Keys, version: str, *, by: str) -> bool:
    """Mark the version of an RQ worker that starts, if it is new or has come back.

    A version that was marked before has come back if no live RQ worker runs it: otherwise it is a rolling deploy that
    still goes on, or one of several applications that share this Redis.

    Args and errors are those of :func:`mark`.

    Returns:
        Whether it was marked.
    """
    found = _ask(connection, keys, version, by, "new")
    if found == "earlier" and label_text(version) not in _live_versions(connection, keys):
        found = _ask(connection, keys, version, by, "returned")
    return found == "marked"


def read(connection: Any, keys: Keys) -> tuple[Deploy, ...]:
    """The marks that are kept, the oldest first.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    return deploys(append_read(connection, keys))


def append_read(pipeline: Any, keys: Keys) -> Any:
    """Append the command whose reply :func:`deploys` reads."""
    return pipeline.zrangebyscore(keys.deploys, "-inf", "+inf", start=0, num=2 * MOST, withscores=True)


def deploys(reply: Any) -> tuple[Deploy, ...]:
    """The deploys of a reply, the oldest first; what is none is passed over."""
    found = []
    for member, score in reply or ():
        parts = decode(text(member))
        if len(parts) == 3 and parts[1] and 0 <= float(score) < float("inf"):
            found.append(Deploy(label_text(parts[1]), float(score), label_text(parts[2])))
    return tuple(found)


def _ask(connection: Any, keys: Keys, version: str, by: str, asked: str) -> str:
    facts = {"version": encode([label_text(version)]), "by": encode([label_text(by)]), "asked": asked, "most": MOST}
    found, fault = map(text, _DEPLOY.run(connection, (keys.deploys,), facts))
    if fault:
        raise StoreError(fault)
    return found


def _live_versions(connection: Any, keys: Keys) -> set[str]:
    workers = sorted(map(text, connection.smembers(keys.rq_workers)))
    versions: set[str] = set()
    for first in range(0, len(workers), _WORKERS_AT_ONCE):
        pipe = connection.pipeline(transaction=False)
        for worker in workers[first : first + _WORKERS_AT_ONCE]:
            pipe.hget(worker, WORKER_MARK_FIELD)
        versions.update(map(_version, pipe.execute(raise_on_error=False)))
    return versions


def _version(mark: Any) -> str:
    try:
        said = json.loads(mark)
        return label_text(said[APP_VERSION])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
