"""How our commands write their log: a line of text or of JSON per record, with the facts of each.

A program of your own sets up :mod:`logging` as it likes; nothing here is needed for that.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from jobtelemetry.text import json_text, log_lines, log_text

FORMATS = ("text", "json")

#: What every record has; the rest came with ``extra``.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

_chosen: tuple[str, int] | None = None


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that a second call replaces it."""


class TextFormatter(logging.Formatter):
    """``time LEVEL message key=value ...``; facts without a value are left out."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, without a traceback."""
        return " ".join([super().formatMessage(record).replace("\n", "\\n"), *_pairs(record)])

    def format(self, record: logging.LogRecord) -> str:
        """The line and, where there is one, the traceback: what a job's error says commands no terminal."""
        return log_lines(super().format(record))


def formatter(kind: str) -> logging.Formatter:
    """The formatter of one of :data:`FORMATS`.

    JSON has ``timestamp`` (RFC 3339, with the zone), ``level``, ``logger``, ``message``, the facts, and ``exc_info``.
    """
    if kind == "text":
        return TextFormatter()
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp=True,
        json_ensure_ascii=False,
        json_serializer=_serialize,
    )


def log_to_stderr(kind: str = "text", level: int = logging.INFO) -> None:
    """Write the log of this process, and of what it forks, to its standard error.

    As text, only jobtelemetry's own: RQ has a format of its own. As JSON, everybody's, so that a log store can read
    every line.

    Args:
        kind: One of :data:`FORMATS`.
        level: From which level on jobtelemetry's own records are written.
    """
    global _chosen
    _chosen = (kind, level)
    own = logging.getLogger("jobtelemetry")
    own.setLevel(level)
    target = logging.getLogger() if kind == "json" else own
    for before in [handler for handler in target.handlers if isinstance(handler, _Handler)]:
        target.removeHandler(before)
    handler = _Handler(sys.stderr)
    handler.setFormatter(formatter(kind))
    target.addHandler(handler)
    own.propagate = kind == "json"


def chosen() -> tuple[str, int] | None:
    """What :func:`log_to_stderr` was called with, for a process that does not inherit it; ``None`` if it was not."""
    return _chosen


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    extra = ((key, value) for key, value in vars(record).items() if key not in _STANDARD)
    return {key: value for key, value in extra if value is not None and value is not False and value != ""}


def _pairs(record: logging.LogRecord) -> list[str]:
    return [f"{log_text(key)}={_text(value)}" for key, value in _facts(record).items()]


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else log_text(value)


def _serialize(record: Any, **options: Any) -> str:
    """In place of ``json.dumps``; ``cls`` is python-json-logger's encoder, which knows dates and exceptions."""
    default = options.get("default") or options["cls"]().default
    return json_text(record, ascii_only=bool(options.get("ensure_ascii")), default=default)
