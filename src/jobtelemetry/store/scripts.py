"""The Lua scripts: each with the names of its keys, in one place, and one packed argument.

A script's source names its keys (``META``), the fields of the hashes (``FIELD.executions``, ``SHARED.counted``) and an
account's columns (``COLUMN.recent``); :class:`Script` puts in what :mod:`jobtelemetry.store.keys` says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jobtelemetry.store import keys as names
from jobtelemetry.text import writable

_COLUMNS = {
    "succeeded": names.SUCCEEDED,
    "failed": names.FAILED,
    "unbooked": names.UNBOOKED,
    "succeeded_again": names.SUCCEEDED_AGAIN,
    "failed_again": names.FAILED_AGAIN,
    "recent": names.RECENT,
}
_NAMED: dict[str, Mapping[str, object]] = {
    "FIELD": names.FIELDS,
    "SHARED": names.META_FIELDS,
    "COLUMN": _COLUMNS,
}
_NAME = re.compile(r"\b(FIELD|SHARED|COLUMN)\.(\w+)")


class Script:
    """One script, sent with ``EVAL`` (never ``EVALSHA``: a ``NOSCRIPT`` inside RQ's transaction would lose a record).

    Args:
        sources: The names of its Lua files, in order.
        keys: The names of its keys, in order; a script may take more that have no names.
    """

    def __init__(self, *sources: str, keys: tuple[str, ...]) -> None:
        self.keys = keys
        declared = "\n".join(f"local {name} = KEYS[{number}]" for number, name in enumerate(keys, 1))
        text = "\n".join((declared, *map(_source, sources))).replace("LAYOUT", f"'{names.LAYOUT}'")
        self.text = _NAME.sub(_put_in, text).encode()

    def append(self, pipeline: Any, keys: tuple[str, ...], packed: Mapping[str, object]) -> Any:
        """Append it to a pipeline, or execute it on a connection."""
        return pipeline.execute_command(*self.command(keys, packed))

    def command(self, keys: tuple[str, ...], packed: Mapping[str, object]) -> tuple[Any, ...]:
        """The command. All text is bytes: redis-py would encode it while RQ's transaction is sent, too late to fail."""
        if len(keys) < len(self.keys):
            raise ValueError(f"the script takes the keys {', '.join(self.keys)}; got {len(keys)}")
        return ("EVAL", self.text, len(keys), *[key.encode("utf-8", "backslashreplace") for key in keys], pack(packed))


def pack(facts: Mapping[str, object]) -> bytes:
    """Facts as the one argument of a script; what has no value is left out of it by the caller."""
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates, which Python makes of file names that are not UTF-8
        return json.dumps(_writable(facts), ensure_ascii=False).encode()


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, Mapping):
        return {writable(key): _writable(inner) for key, inner in value.items()}
    return [_writable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


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
