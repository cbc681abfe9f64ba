"""The traceback that RQ kept of a job's last failure, read without loading anything of the job."""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from jobtelemetry.text import writable

#: Characters of a traceback that are kept: its end, where the error is.
LONGEST = 50_000
#: Bytes that are unpacked at most, whatever a packed traceback claims to hold.
_MOST_BYTES = 4_000_000


def results_key(prefix: str, job: str) -> str:
    """RQ's stream of a job's results."""
    return f"{prefix}:results:{job}"


def unpacked(results: Any) -> str:
    """The traceback in RQ's newest result of a job; empty where there is none.

    Args:
        results: The reply to ``XREVRANGE … COUNT 1`` on :func:`results_key`.
    """
    for _, fields in _entries(results):
        packed = next((value for key, value in fields.items() if _bytes(key) == b"exc_string"), None)
        if packed:
            return _unpack(_bytes(packed))
    return ""


def _unpack(packed: bytes) -> str:
    try:
        text = zlib.decompressobj().decompress(b64decode(packed, validate=True), _MOST_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        return ""
    said = writable(text.decode("utf-8", "replace")).strip()
    return said if len(said) <= LONGEST else f"[the beginning is left out]\n{said[-LONGEST:]}"


def _entries(results: Any) -> Sequence[Any]:
    """The stream's entries; some versions of redis-py wrap a page in a list of its own."""
    entries: Sequence[Any] = results if isinstance(results, (list, tuple)) else ()
    if len(entries) == 1 and isinstance(entries[0], list):
        entries = entries[0]
    return [entry for entry in entries if entry and entry[1]]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
