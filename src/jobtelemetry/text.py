"""Text of other people's making: whatever it is, it becomes text that can be written anywhere, or nothing."""

from __future__ import annotations

import hashlib

#: Characters of a text that becomes a label.
LONGEST_LABEL = 200


def text_of(value: object) -> str:
    """``str(value)`` without what cannot be encoded; empty where it has no text.

    Lone surrogates, which Python makes of file names that are not UTF-8, are shown as escapes.
    """
    try:
        return writable(str(value))
    except Exception as error:
        if _of_rq(error):
            raise
        return ""


def writable(text: str) -> str:
    """The text with an escape for each character that UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def label_text(text: str) -> str:
    """A text of at most 200 characters; of a longer one the end is replaced by a hash of the whole."""
    if len(text) <= LONGEST_LABEL:
        return text
    return f"{text[: LONGEST_LABEL - 9]}#{hashlib.sha256(writable(text).encode()).hexdigest()[:8]}"


def class_name(value: object) -> str:
    """The name of its class, ``Exception`` where a metaclass keeps it secret."""
    try:
        return writable(type.__dict__["__name__"].__get__(type(value)))
    except Exception:  # noqa: BLE001 - whatever a metaclass does
        return "Exception"


def attribute(owner: object, name: str, default: object = None) -> object:
    """``getattr`` that treats an attribute that raises as one that is not there."""
    try:
        return getattr(owner, name, default)
    except Exception as error:
        if _of_rq(error):
            raise
        return default


def _of_rq(error: Exception) -> bool:
    """Raised into whatever code happens to run, and meant for RQ: a timeout, a shutdown."""
    return any(cls.__module__.partition(".")[0] == "rq" for cls in type(error).__mro__)
