"""The doctor on Redis: version, permissions, persistence, eviction, and the memory that telemetry takes."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import ResponseError

from jobtelemetry.config import Config
from jobtelemetry.contract import series_per_row
from jobtelemetry.diagnosis.findings import Finding, Level, many, size
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.families import OF_LABEL_SET
from jobtelemetry.store.decode import Rejected, count_of, label_set
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.probe import is_refusal, missing_rules, probe
from jobtelemetry.store.record import text

#: Streams came with this version; RQ asks for the same.
_OLDEST = (5, 0)
_FULL = 0.9
_NEAR = 0.8


def check_server(connection: Any, keys: Keys, config: Config) -> Iterator[Finding]:
    """Everything about the server itself.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: It does not answer.
    """
    yield permissions(connection, keys)
    try:
        info = connection.info()
    except ResponseError as error:
        advice = "Allow INFO to this user (ACL: +info), or look at version, persistence and maxmemory by hand."
        yield Finding("redis", Level.NOT_CHECKED, f"INFO is refused: {error}", advice)
    else:
        yield version(info)
        yield persistence(info, _save(connection))
        yield eviction(info)
    yield from series(connection, keys, config)
    yield log(connection, keys, config)


def permissions(connection: Any, keys: Keys) -> Finding:
    """Whether this user can write everything that recording writes."""
    problem = probe(connection, keys)
    if not problem:
        return Finding("permissions", Level.OK, "everything that recording writes can be written")
    if is_refusal(problem):  # right for one who only reads; RQ workers that cannot record say so themselves
        summary = f"this user may not record, as one who only reads: {problem}"
        return Finding("permissions", Level.NOT_CHECKED, summary, _remedy(problem, keys))
    return Finding(
        "permissions", Level.PROBLEM, f"recording is not possible as this user: {problem}", _remedy(problem, keys)
    )


def _remedy(problem: str, keys: Keys) -> str:
    word = problem.upper()
    if is_refusal(problem):
        rules = " ".join(missing_rules(problem, keys)) or f"+eval +evalsha ~{keys.prefix}:*"
        return (
            f"Ask as the workers' Redis user to check what they may (doctor --as worker); this one lacks ACL: {rules}. "
            "For one who only reads: doctor --as reader."
        )
    if "UNKNOWN COMMAND" in word:
        return "This server has no Lua, or other names for its commands: recording needs EVAL and EVALSHA."
    if "READONLY" in word or "READ ONLY" in word:
        return "This is a read-only replica: give the primary's URL, here and to the workers."
    if "OOM" in word or "MAXMEMORY" in word:
        return "Redis is full: raise maxmemory or free memory; RQ cannot store results either."
    if "HOLDS A" in word:
        return "Another program uses that key: rename or delete it, then restart the workers."
    return "See the message; recording starts again at the workers' next maintenance once it works."


def version(info: Mapping[str, Any]) -> Finding:
    """Whether the server is new enough."""
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    text = str(info.get("valkey_version") or info.get("redis_version") or "")
    try:
        number = tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        return Finding("redis", Level.NOT_CHECKED, f"the server does not tell its version: {text!r}")
    if number < _OLDEST:
        return Finding("redis", Level.PROBLEM, f"{name} {text} is too old", "Upgrade to Redis 5 or any Valkey.")
    return Finding("redis", Level.OK, f"{name} {text}")


def persistence(info: Mapping[str, Any], save: str | None) -> Finding:
    """Whether counts outlive a restart.

    Args:
        info: ``INFO``.
        save: ``CONFIG GET save``; ``None`` where that is refused, as managed services do.
    """
    if info.get("aof_enabled"):
        return _append_only(info)
    advice = "Set appendonly yes, or save points: after a restart all counts are gone, and so are RQ's jobs."
    if save is None and info.get("rdb_last_bgsave_time_sec", -1) == -1:
        return Finding("persistence", Level.NOT_CHECKED, "CONFIG is refused, and no snapshot was made yet", advice)
    if save == "":
        return Finding("persistence", Level.WARNING, "none: no append-only file and no save points", advice)
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        advice = "Look at the disk and the log of Redis: with stop-writes-on-bgsave-error it refuses writes."
        return Finding("persistence", Level.PROBLEM, "the last snapshot failed", advice)
    often = f"save {save}" if save else "CONFIG is refused, so how often is not known"
    advice = "Set appendonly yes to lose at most a second at a crash."
    return Finding("persistence", Level.OK, f"snapshots ({often}); a crash loses what came after the last", advice)


def _append_only(info: Mapping[str, Any]) -> Finding:
    if info.get("aof_last_write_status", "ok") == "ok":
        return Finding("persistence", Level.OK, "append-only file")
    advice = "Look at the disk and the log of Redis: it refuses writes, RQ's included."
    return Finding("persistence", Level.PROBLEM, "the last write to the append-only file failed", advice)


def eviction(info: Mapping[str, Any]) -> Finding:
    """Whether Redis may throw away what is counted."""
    most, used = int(info.get("maxmemory") or 0), int(info.get("used_memory") or 0)
    policy = str(info.get("maxmemory_policy") or "noeviction")
    share = f"{size(used)} of {size(most)} used" if most else f"{size(used)} used, no maxmemory"
    if most and policy.startswith("allkeys"):
        advice = "Set maxmemory-policy noeviction: with this one Redis may drop counts, queues and jobs at any time."
        return Finding("eviction", Level.PROBLEM, f"maxmemory-policy is {policy}; {share}", advice)
    if most and policy.startswith("volatile"):
        advice = "Set maxmemory-policy noeviction: RQ's workers and results expire, so Redis may drop them early."
        return Finding("eviction", Level.WARNING, f"maxmemory-policy is {policy}; {share}", advice)
    if most and used > _FULL * most:
        return Finding("eviction", Level.WARNING, f"memory is nearly full: {share}", "Raise maxmemory or free memory.")
    return Finding("eviction", Level.OK, f"nothing is evicted; {share}")


def series(connection: Any, keys: Keys, config: Config) -> Iterator[Finding]:
    """How many label sets each family has, and whether that is near the limit."""
    families = ("executions", "cancellations", "errors")
    fields = [f"distinct|{family}" for family in families[1:]] + [f"dropped|{family}" for family in families]
    numbers = [count_of(text(value)) or 0 if value else 0 for value in connection.hmget(keys.meta, fields)]
    kept = [int(connection.zcard(keys.sets)), *numbers[:2]]
    sets, dropped = dict(zip(families, kept, strict=True)), sum(numbers[2:])
    most, limit = max(sets.values()), config.max_label_sets
    counts = ", ".join(f"{number:,} {family}" for family, number in sets.items())
    summary = f"label sets: {counts}; limit {limit:,} each; {_most_series(connection, keys, config)}"
    advice = (
        "Raise JOBTELEMETRY_MAX_LABEL_SETS for the workers, give jobs fewer names, reasons and sources, "
        "or remove those of old jobs: jobtelemetry reset --worker NAME."
    )
    if dropped:
        yield Finding("series", Level.WARNING, f"{summary}; {many(dropped, 'observation')} found no place", advice)
    elif most >= _NEAR * limit:
        yield Finding("series", Level.WARNING, f"{summary}: nearly full", advice)
    else:
        yield Finding("series", Level.OK, summary)


_SAMPLE = 1000  # label sets that are looked at


def _most_series(connection: Any, keys: Keys, config: Config) -> str:
    """Which family makes most series, and which label has most values, of what the exporter would show."""
    labels = [text(one) for one in connection.zrange(keys.sets, 0, _SAMPLE - 1)]
    if not labels:
        return "no series"
    pipe = connection.pipeline(transaction=False)
    for one in labels:
        pipe.hgetall(keys.label_set(one))
    sets = [
        label_set(one, {text(field): text(value) for field, value in rows.items()}, {}, 0.0, Rejected())
        for one, rows in zip(labels, pipe.execute(), strict=True)
    ]
    cardinality, series, values = Cardinality.of(config), Tally[str](), dict[str, set[str]]()
    for known in filter(None, sets):
        for family, found in OF_LABEL_SET.items():
            shown = cardinality.of_family(family)
            for names, *_ in cardinality.of_rows(family, found(known)):
                series[family.name] += series_per_row(shown)
                for name, value in zip(shown.labels, names, strict=True):
                    values.setdefault(name, set()).add(value)
        for name, value in known.series.extra:
            values.setdefault(name, set()).add(value)
    (family_name, number), total = series.most_common(1)[0], series.total()
    label = max(values, key=lambda name: (len(values[name]), name))
    sample = f" of the first {_SAMPLE:,} label sets" if len(labels) == _SAMPLE else ""
    return (
        f"{number / total:.0%} of {total:,} series{sample} are {family_name}, the label with most values is {label} "
        f"({len(values[label]):,}); as the exporter is set here, a worker on a queue makes up to "
        f"{cardinality.series_of_label_set} and two for each reason and error type"
    )


def log(connection: Any, keys: Keys, config: Config) -> Finding:
    """How long the execution log is, and what all telemetry keys take."""
    length = int(connection.xlen(keys.log))
    fixed = [keys.log, keys.meta, keys.accounts, keys.sets, keys.closed, keys.running]
    for labels in connection.zrange(keys.sets, 0, -1):
        fixed += [keys.label_set(text(labels)), keys.traces(text(labels))]
    fixed += [keys.families, keys.series_index, keys.batches]
    fixed += [keys.series(text(series)) for series in connection.zrange(keys.series_index, 0, -1)]
    try:
        memory = {key: int(connection.memory_usage(key, samples=100) or 0) for key in fixed}
    except ResponseError:
        used = "MEMORY is refused, so its size is not known"
    else:
        used = f"{size(memory[keys.log])}; all keys of jobtelemetry take {size(sum(memory.values()))}"
    if not length:
        advice = "If that is not meant, set JOBTELEMETRY_LOG_SIZE for the workers." if config.log_size == 0 else ""
        return Finding("log", Level.OK, f"the execution log is empty; {used}", advice)
    summary = f"{many(length, 'entry').replace('entrys', 'entries')} of about {config.log_size:,}; {used}"
    if config.log_size and length > 1.2 * config.log_size + 200:
        advice = "The workers run with another JOBTELEMETRY_LOG_SIZE than this command; set the same."
        return Finding("log", Level.WARNING, summary, advice)
    return Finding("log", Level.OK, summary)


def _save(connection: Any) -> str | None:
    try:
        return str(connection.config_get("save").get("save") or "")
    except ResponseError:
        return None
