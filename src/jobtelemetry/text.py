"""Text of other people's making: whatever it is, it becomes text that can be written anywhere, or nothing.

What leaves goes through the function of its medium, so that a job's message commands no terminal, breaks no line of a
log, is always JSON where JSON is promised, and is never longer than what it is for:

=================  ===============================================================
medium             function
=================  ===============================================================
a label            :func:`label_text`: 200 characters, the end a hash of the whole
a terminal         :func:`terminal_text`
JSON               :func:`json_text`
a line of a log    :func:`log_text`, :func:`log_lines` for a traceback
a page             :func:`page_text`, which is then escaped as HTML
Sentry             :func:`sentry_text`
a span             :func:`span_text`
=================  ===============================================================
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

#: Characters of a label, and of the hash at the end of one that was longer.
LONGEST_LABEL = 200
_HASH = 8
#: Characters of a value in a line of a log, of a traceback there, of a value on a span, and of one for Sentry.
LONGEST_LOGGED = 2_000
LONGEST_TRACEBACK = 64_000
LONGEST_ON_SPAN = 2_000
LONGEST_TAG = 200
#: How deep JSON goes before the rest is written as text.
_DEEPEST = 20
_MOST_BITS = 1024
#: What needs no quotes in a line of ``key=value`` pairs.
_PLAIN = re.compile(r"[^\s=\"']+")
_SIMPLE = re.compile(r"[!#-&(-<>-~]{1,200}")


def text_of(value: object) -> str:
    """``str(value)`` without what cannot be encoded; empty where it has no text.

    Lone surrogates, which Python makes of file names that are not UTF-8, are shown as escapes.
    """
    try:
        return writable(str(value))
    except Exception as error:
        if is_meant_for_rq(error):
            raise
        return ""


def writable(text: str) -> str:
    """The text with an escape for each character that UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def label_text(value: object, most: int = LONGEST_LABEL) -> str:
    """A value as a label may carry it; what is one already is left alone.

    Characters that command a terminal or turn the direction of writing are shown as escapes. Of a longer text the
    beginning is kept and the end is a hash of the whole, so that two texts stay two labels.

    Args:
        value: Anything.
        most: Characters.
    """
    if type(value) is str and value.isascii() and value.isprintable() and len(value) <= most:
        return value  # nearly every label, and this is on the path of every job
    text = text_of(value)
    if len(text) <= most:
        shown = _visible(text)
        if len(shown) <= most:
            return shown
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH]
    return f"{_visible(text[:most])[: most - _HASH - 1]}#{digest}"


def terminal_text(text: str) -> str:
    """Without tabs, line ends and control characters: a job's message must not command the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _harmless(c) for c in text)


def json_text(value: object, *, ascii_only: bool = False, default: Callable[[Any], Any] = text_of) -> str:
    """One line of JSON, whatever the value.

    What JSON does not have is written as what it has: ``null`` for a number that is none or infinite, text for
    objects. Characters that would command a terminal or end a line are escaped, so that nothing of them is lost.

    Args:
        value: Made of dicts, lists, texts, numbers, truth values and ``None``.
        ascii_only: Whether every other character is escaped as well.
        default: What becomes of any other object.
    """
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, default=default)
    except Exception as error:  # what JSON does not have, too deep, or an object that raises when it is asked
        if is_meant_for_rq(error):
            raise
        text = json.dumps(_json_value(value, default), ensure_ascii=ascii_only, allow_nan=False)
    return text if text.isprintable() else "".join(c if _shown(c) else _json_escape(c) for c in text)


def log_text(value: object) -> str:
    """A value in a line of ``key=value`` pairs: quoted where it is empty, has spaces or what cannot be printed."""
    if type(value) is str and _SIMPLE.fullmatch(value):
        return value  # nearly every fact, and this is on the path of every job
    text = text_of(value)
    if len(text) > LONGEST_LOGGED:
        text = f"{text[:LONGEST_LOGGED]}..."
    return text if text.isprintable() and _PLAIN.fullmatch(text) else repr(text)


def log_lines(text: str) -> str:
    """A text of several lines, a traceback, whose lines are its own and whose characters command nothing."""
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"
    return "\n".join(_visible(line, keep="\t") for line in text.split("\n"))


def page_text(value: object, most: int = LONGEST_LOGGED) -> str:
    """A value on a page, before it is escaped as HTML: nothing in it turns the direction of what stands around it."""
    text = text_of(value)
    return _visible(text if len(text) <= most else f"{text[:most]}...", keep="\t\n")


def sentry_text(value: object, most: int = LONGEST_TAG) -> str:
    """A value for Sentry, which throws a longer tag away, and one with line ends."""
    text = text_of(value)
    return terminal_text(text if len(text) <= most else f"{text[: most - 3]}...")


def span_text(value: object, most: int = LONGEST_ON_SPAN) -> str:
    """A value on a span: UTF-8, as OTLP demands, and no longer than stores keep."""
    text = text_of(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def class_name(value: object) -> str:
    """The name of its class as a label, ``Exception`` where a metaclass keeps it secret."""
    try:
        return label_text(type.__dict__["__name__"].__get__(type(value)))
    except Exception:  # noqa: BLE001 - whatever a metaclass does
        return "Exception"


def attribute(owner: object, name: str, default: object = None) -> object:
    """``getattr`` that treats an attribute that raises as one that is not there."""
    try:
        return getattr(owner, name, default)
    except Exception as error:
        if is_meant_for_rq(error):
            raise
        return default


def _visible(text: str, keep: str = "") -> str:
    """With an escape for each character that is not shown; spaces of any width are."""
    if text.isprintable():
        return text
    return "".join(c if _shown(c) or c in keep else repr(c)[1:-1] for c in text)


def _shown(character: str) -> bool:
    """Whether it has a picture, or is a space of some width."""
    import unicodedata  # only for such texts

    return character.isprintable() or unicodedata.category(character) == "Zs"


def _harmless(character: str) -> str:
    return " " if character in "\t\n\r" or character.isspace() else "?"


def _json_escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _json_value(value: object, default: Callable[[Any], Any], depth: int = 0) -> Any:
    """The value in what JSON has."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return _json_number(value)
    if depth >= _DEEPEST:
        return type(value).__name__
    if isinstance(value, Mapping):
        return {text_of(key): _json_value(item, default, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json_value(item, default, depth + 1) for item in value]
    try:
        made = default(value)
    except Exception as error:
        if is_meant_for_rq(error):
            raise
        made = type(value).__name__
    return _json_value(made, default, depth + 1)


def _json_number(value: float) -> float | str | None:
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else f"{hex(value)[:40]}..."
    return value if math.isfinite(value) else None


def is_meant_for_rq(error: Exception) -> bool:
    """Raised into whatever code happens to run, and meant for RQ: a timeout, a shutdown."""
    return any(cls.__module__.partition(".")[0] == "rq" for cls in type(error).__mro__)
