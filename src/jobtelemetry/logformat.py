"""How records of ours are written: a line of text or of JSON per record, with the facts of each.

A program of your own sets up :mod:`logging` as it likes; nothing here is needed for that. Messages are constants and
facts are fields of the record, so that a log store can group them. A plain :class:`logging.Formatter` shows no fields:
where one writes our records, or nobody has set up anything, the facts are said in the message as well.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from jobtelemetry.text import LONGEST_TRACEBACK, json_text, log_lines, log_text

FORMATS = ("text", "json")

#: What every record has; the rest came with ``extra``.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
#: A format that names one of these shows the facts that its author wants.
_FIELD = re.compile(r"%\((?:worker|job_id|state)\)|\{(?:worker|job_id|state)\b|\$\{?(?:worker|job_id|state)\b")
_SETTINGS = "settings"

_chosen: tuple[Any, ...] | None = None


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that a second call replaces it."""


class _Told(str):
    """A constant message whose ``str()`` has the facts behind it."""

    __slots__ = ("constant", "facts")
    constant: str
    facts: str

    def __new__(cls, constant: str, facts: str) -> _Told:
        told = super().__new__(cls, constant)
        told.constant, told.facts = constant, facts
        return told

    def __str__(self) -> str:
        return f"{self.constant} {self.facts}"

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class _Facts(logging.Filter):
    """Puts the facts into the message of a record where nothing else would show them."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, _Told) and _plainly_written(record.name):
            pairs = " ".join(_pairs(record))
            if pairs:
                record.msg = _Told(str(record.msg), pairs.replace("%", "%%") if record.args else pairs)
        return True


_facts_filter = _Facts()


def tell_facts() -> None:
    """From now on no record of ours is a bare ``job failed``, however logging is set up."""
    logging.getLogger("jobtelemetry").addFilter(_facts_filter)  # once, however often it is called


class TextFormatter(logging.Formatter):
    """``time LEVEL message key=value ...``; facts that say nothing are left out.

    Args:
        fmt: In place of time, level and message.
        datefmt: Of the time.
    """

    def __init__(self, fmt: str | None = None, datefmt: str | None = None) -> None:
        super().__init__(fmt or "%(asctime)s %(levelname)s %(message)s", datefmt)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, without a traceback."""
        record.message = _bare(record).getMessage()
        return " ".join([super().formatMessage(record).replace("\n", "\\n"), *_pairs(record)])

    def format(self, record: logging.LogRecord) -> str:
        """The line and, where there is one, the traceback: what a job's error says commands no terminal."""
        return _without_passwords(record, log_lines(super().format(record)))


def formatter(kind: str, fmt: str | None = None, datefmt: str | None = None) -> logging.Formatter:
    """The formatter of one of :data:`FORMATS`.

    JSON has ``timestamp`` (RFC 3339, with the zone), ``level``, ``logger``, ``message``, the facts, and ``exc_info``.

    Args:
        kind: One of :data:`FORMATS`.
        fmt: Of text: in place of time, level and message.
        datefmt: Of text: of the time.
    """
    if kind == "text":
        return TextFormatter(fmt, datefmt)
    from pythonjsonlogger.json import JsonFormatter  # not on the way of who writes no JSON

    class OneLine(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return _without_passwords(record, super().format(_bare(record)))

    return OneLine(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp=True,
        json_ensure_ascii=False,
        json_serializer=_serialize,
    )


def log_to_stderr(
    kind: str = "text", level: int = logging.INFO, fmt: str | None = None, datefmt: str | None = None
) -> None:
    """Write the log of this process, and of what it forks, to its standard error.

    As text, only jobtelemetry's own: RQ has a format of its own. As JSON, everybody's, so that a log store can read
    every line.

    Args:
        kind: One of :data:`FORMATS`; or what :func:`chosen` has, in a process that does not inherit it.
        level: From which level on jobtelemetry's own records are written.
        fmt: Of text: in place of time, level and message.
        datefmt: Of text: of the time.
    """
    global _chosen
    if kind.startswith(_SETTINGS) and fmt:
        keep_settings(fmt, as_json=kind.endswith("json"))
        from logging.config import dictConfig  # which is not small

        dictConfig(import_module(fmt).DICT_CONFIG)
        return
    _chosen = (kind, level, fmt, datefmt)
    own = logging.getLogger("jobtelemetry")
    own.setLevel(level)
    target = logging.getLogger() if kind == "json" else own
    for before in [handler for handler in target.handlers if isinstance(handler, _Handler)]:
        target.removeHandler(before)
    handler = _Handler(sys.stderr)
    handler.setFormatter(formatter(kind, fmt, datefmt))
    target.addHandler(handler)
    own.propagate = kind == "json"
    tell_facts()


def keep_settings(module: str, *, as_json: bool = False) -> bool:
    """Make RQ's own logging settings hold for our records too: ``DICT_CONFIG`` of the settings file.

    RQ applies it when it starts. Our logger, which exists by then, is not switched off by it.

    Args:
        module: The settings file, as RQ imports it.
        as_json: Whether its handlers are to write JSON; which there are and from which level on stays its own.

    Returns:
        Whether there is such a setting; if not, nothing was done.
    """
    global _chosen
    settings = import_module(module)
    config = getattr(settings, "DICT_CONFIG", None)
    if not config:
        return False
    settings.DICT_CONFIG = _adapted(config, as_json)  # type: ignore[attr-defined]
    _chosen = (f"{_SETTINGS}-json" if as_json else _SETTINGS, logging.INFO, module)
    tell_facts()
    return True


def chosen() -> tuple[Any, ...] | None:
    """What :func:`log_to_stderr` was called with, for a process that does not inherit it; ``None`` if it was not."""
    return _chosen


def _adapted(config: Mapping[str, Any], as_json: bool) -> dict[str, Any]:
    """A copy of a ``dictConfig`` that leaves our logger on and, where asked for, writes JSON."""
    adapted = copy.copy(dict(config))
    if adapted.get("incremental"):
        return adapted
    adapted["loggers"] = {"jobtelemetry": {}, **adapted.get("loggers", {})}
    if as_json:
        ours = {"jobtelemetry": {"()": "jobtelemetry.logformat.formatter", "kind": "json"}}
        adapted["formatters"] = {**adapted.get("formatters", {}), **ours}
        adapted["handlers"] = {
            name: {**handler, "formatter": "jobtelemetry"} if _writes_text(handler) else handler
            for name, handler in adapted.get("handlers", {}).items()
        }
    return adapted


def _writes_text(handler: Mapping[str, Any]) -> bool:
    return "formatter" in handler or str(handler.get("class", "")).startswith("logging.")


def _plainly_written(name: str) -> bool:
    """Whether the records of a logger are written by a formatter that shows no fields."""
    logger: logging.Logger | None = logging.getLogger(name)
    found = False
    while logger is not None:
        for handler in logger.handlers:
            found = True
            if _plain(handler):
                return True
        logger = logger.parent if logger.propagate else None
    return not found  # then logging writes to standard error as a last resort


def _plain(handler: logging.Handler) -> bool:
    written_by = handler.formatter
    if written_by is None:
        return isinstance(handler, logging.StreamHandler)
    return type(written_by) is logging.Formatter and not _FIELD.search(written_by._fmt or "")  # noqa: SLF001 - no other way to see it


def _without_passwords(record: logging.LogRecord, line: str) -> str:
    """The line of a record with a traceback: what redis-py says of a URL may have a password in it."""
    if not record.exc_info and not record.exc_text:
        return line
    from jobtelemetry.redis_url import scrub

    return scrub(line)


def _bare(record: logging.LogRecord) -> logging.LogRecord:
    """The record with its constant message."""
    told: object = record.msg
    if isinstance(told, _Told):
        record = copy.copy(record)
        record.msg = told.constant
    return record


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {
        key: value
        for key, value in vars(record).items()
        if key not in _STANDARD and value is not None and value is not False and value != ""
    }


def _pairs(record: logging.LogRecord) -> list[str]:
    return [f"{_key(key)}={_text(value)}" for key, value in _facts(record).items()]


#: The same few in every record.
_key = lru_cache(maxsize=200)(log_text)


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else log_text(value)


def _serialize(record: Any, **options: Any) -> str:
    """In place of ``json.dumps``; ``cls`` is python-json-logger's encoder, which knows dates and exceptions."""
    default = options.get("default") or options["cls"]().default
    bounded = {key: log_lines(value) if _is_long(value) else value for key, value in record.items()}
    return json_text(bounded, ascii_only=bool(options.get("ensure_ascii")), default=default)


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > LONGEST_TRACEBACK
