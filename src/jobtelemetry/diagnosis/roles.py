"""The Redis users that there are, each with the commands that it sends, and whether this user may send them.

The one table of least privilege: ``docs/security.md`` shows it, ``jobtelemetry doctor --as`` tries it, and the tests
give real servers users of just these rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from jobtelemetry.diagnosis.findings import Finding, Level
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.probe import is_refusal, missing_rules, probe

_KEY, _CHANNEL = "KEY", "CHANNEL"

#: What is sent to try a command, where that is not a key alone; it is put into a transaction that never executes.
_ARGUMENTS: dict[str, str] = {
    "blmove": "KEY KEY LEFT LEFT 0.001",
    "blpop": "KEY 0.001",
    "client|info": "",
    "client|list": "",
    "client|setname": "probe",
    "eval": "return_1 1 KEY",
    "evalsha": "0000000000000000000000000000000000000000 1 KEY",
    "exec": "",
    "expire": "KEY 1",
    "hdel": "KEY f",
    "hexists": "KEY f",
    "hget": "KEY f",
    "hincrby": "KEY f 0",
    "hincrbyfloat": "KEY f 0",
    "hmget": "KEY f",
    "hscan": "KEY 0",
    "hset": "KEY f 0",
    "hsetnx": "KEY f 0",
    "info": "",
    "lindex": "KEY 0",
    "lmove": "KEY KEY LEFT LEFT",
    "lpos": "KEY e",
    "lpush": "KEY e",
    "lrange": "KEY 0 0",
    "lrem": "KEY 0 e",
    "multi": "",
    "ping": "",
    "publish": "CHANNEL probe",
    "rename": "KEY KEY",
    "rpush": "KEY e",
    "sadd": "KEY e",
    "scan": "0",
    "script|exists": "0000000000000000000000000000000000000000",
    "script|load": "return_1",
    "set": "KEY 0",
    "srem": "KEY e",
    "sscan": "KEY 0",
    "subscribe": "CHANNEL",
    "time": "",
    "unsubscribe": "CHANNEL",
    "unwatch": "",
    "xadd": "KEY * f 0",
    "xread": "STREAMS KEY 0",
    "xrevrange": "KEY + -",
    "zadd": "KEY 0 e",
    "zcount": "KEY 0 0",
    "zpopmin": "KEY",
    "zrange": "KEY 0 0",
    "zrangebyscore": "KEY 0 0",
    "zrem": "KEY e",
    "zremrangebyrank": "KEY 0 0",
    "zremrangebyscore": "KEY 0 0",
    "zrevrange": "KEY 0 0",
    "zscan": "KEY 0",
    "zscore": "KEY e",
}
#: These are executed where they stand, so they are tried before the transaction, and in this order.
_AT_ONCE = ("watch", "unwatch", "multi", "exec")


def _these(commands: str) -> frozenset[str]:
    return frozenset(commands.split())


#: What the Lua scripts that record are made of, and how they are sent.
_RECORDING = _these(
    "del eval evalsha exec exists hdel hexists hget hgetall hincrby hincrbyfloat hlen hmget hset hsetnx lrange multi "
    "script|load time type xadd zadd zcard zrangebyscore zrem zremrangebyrank zremrangebyscore zrevrange zscore"
)
#: What the exporter and the commands read.
_EXPORTING = _these(
    "exec exists hget hgetall hmget hscan lindex llen multi ping scan scard sdiff smembers srandmember sscan time "
    "xinfo|stream xrevrange zcard zcount zrangebyscore zscan"
)
_READING = _EXPORTING | _these("info memory|usage xlen xread zrange")
#: What the reconciler sends besides.
_RECONCILING = _RECORDING | {"hkeys"}
#: What RQ itself sends where jobs are enqueued, scheduled, fetched, waited for, requeued, stopped and cancelled.
_ENQUEUEING_BY_RQ = _these(
    "del eval evalsha exec exists expire get hdel hget hgetall hincrby hmget hset info llen lpop lpos lpush "
    "lrange lrem multi persist ping publish rpush sadd scard script|exists script|load set smembers srem unwatch "
    "watch xadd xlen xread xrevrange zadd zcard zcount zpopmin zrange zrangebyscore zrem zremrangebyscore zscore"
)
#: And what its workers and its scheduler send besides.
_WORKING_BY_RQ = _ENQUEUEING_BY_RQ | _these(
    "blmove blpop client|info client|list client|setname hincrbyfloat lmove rename subscribe unsubscribe "
    "zremrangebyrank"
)


@dataclass(frozen=True)
class Role:
    """A kind of Redis user.

    Args:
        name: As ``--as`` takes it.
        about: Who it is.
        commands: What it sends, in the words of the ACL.
        writes: Whether it writes; otherwise its keys are for reading.
        channels: Whether it uses RQ's channels.
    """

    name: str
    about: str
    commands: frozenset[str]
    writes: bool = True
    channels: bool = False

    def rules(self, keys: Keys) -> tuple[str, ...]:
        """The rules of its ACL, without its password."""
        where = [f"{'' if self.writes else '%R'}~{keys.prefix}:*"]
        if self.channels:
            where.append(f"&{keys.prefix}:pubsub:*")
        return ("resetchannels", *where, "-@all", *(f"+{command}" for command in sorted(self.commands)))


ROLES = {
    role.name: role
    for role in (
        Role(
            "worker",
            "RQ workers, with or without RQ's scheduler, and whoever enqueues from within jobs",
            _WORKING_BY_RQ | _RECONCILING,
            channels=True,
        ),
        Role(
            "producer",
            "applications that enqueue, schedule, fetch, requeue, stop and cancel jobs",
            _ENQUEUEING_BY_RQ | _RECORDING,
            channels=True,
        ),
        Role("exporter", "`jobtelemetry exporter`, reconciling", _EXPORTING | _RECONCILING),
        Role(
            "exporter-reading",
            "`jobtelemetry exporter --reconcile-interval 0`, where another one reconciles",
            _EXPORTING,
            writes=False,
        ),
        Role(
            "reader",
            "people with `jobtelemetry jobs`, `stats`, `top`, `show`, `tail`, `failures`, `compare`, ... and `doctor`",
            _READING,
            writes=False,
        ),
    )
}


def documented(keys: Keys) -> str:
    """The table of ``docs/security.md``, and how each user is made."""
    rows = [f"| `{role.name}` | {role.about} |" for role in ROLES.values()]
    users = [
        f"ACL SETUSER jobtelemetry-{role.name} on >PASSWORD {' '.join(role.rules(keys))}" for role in ROLES.values()
    ]
    return "\n".join(["| role | who it is |", "|---|---|", *rows, "", "```", *users, "```"])


def check_role(connection: Any, keys: Keys, role: Role) -> Finding:
    """Whether this user may do what a role does: every command is tried, and nothing is changed.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis does not answer.
    """
    check = "permissions"
    refused, unknown = _refused(connection, keys, role)
    if refused:
        user = f"{role.name}: {len(refused)} of its ACL rules are missing: {' '.join(refused)}"
        advice = f"ACL SETUSER NAME {' '.join(refused)} (all rules of this role: docs/security.md)"
        return Finding(check, Level.PROBLEM, user, advice)
    if unknown:
        advice = "Redis 6.2, any Valkey, or one that has not renamed these commands, has them."
        return Finding(check, Level.PROBLEM, f"{role.name}: the server does not know {' '.join(unknown)}", advice)
    problem = probe(connection, keys) if "evalsha" in role.commands else ""
    if problem:
        return Finding(check, Level.PROBLEM, f"{role.name}: recording is not possible: {problem}", "See the message.")
    return Finding(check, Level.OK, f"{role.name}: each of its {len(role.commands)} commands may be sent")


def _refused(connection: Any, keys: Keys, role: Role) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ACL rules that are missing, and the commands that the server does not know.

    Redis checks what it puts into a transaction as what it executes; this one ends with its connection, unexecuted.
    """
    missing: list[str] = []
    unknown: list[str] = []
    client = connection.client()
    try:
        # Below the client, which would connect anew after an error, and then there were no transaction.
        link = client.connection
        for command in _AT_ONCE:
            if command in role.commands:
                _sort(command, _try(link, keys, command), keys, missing, unknown)
        if "+multi" in missing or _try(link, keys, "multi") is not None:
            return tuple(missing), tuple(unknown)
        for command in sorted(role.commands - set(_AT_ONCE)):
            _sort(command, _try(link, keys, command), keys, missing, unknown)
    finally:
        client.connection.disconnect()
        client.close()
    return tuple(dict.fromkeys(missing)), tuple(unknown)


def _try(link: Any, keys: Keys, command: str) -> ResponseError | None:
    words = {_KEY: keys.probe, _CHANNEL: f"{keys.prefix}:pubsub:probe"}
    arguments = (words.get(word, word) for word in _ARGUMENTS.get(command, _KEY).split())
    link.send_command(*command.split("|"), *arguments)
    try:
        link.read_response()
    except ResponseError as error:
        return error
    return None


def _sort(command: str, error: ResponseError | None, keys: Keys, missing: list[str], unknown: list[str]) -> None:
    if error is None:
        return
    problem = str(error)
    if isinstance(error, NoPermissionError) or is_refusal(problem):
        rules: Iterator[str] = iter(missing_rules(problem, keys))
        missing.append(next((rule for rule in rules if not rule.startswith("+")), f"+{command}"))
    elif "unknown" in problem.lower():
        unknown.append(command)
