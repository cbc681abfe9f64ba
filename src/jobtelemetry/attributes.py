"""What a job says about itself that has no place in a label: ids, titles, counts.

The values go onto the span and into the execution log, also when the work-horse is killed afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar, Token

from jobtelemetry.text import text_of

Value = str | int | float | bool
Receiver = Callable[[str, Value], None]

#: Attributes that one execution may have, and characters of a key and of a value; what goes beyond is dropped or cut.
MOST_ATTRIBUTES = 32
LONGEST_KEY = 128
LONGEST_VALUE = 500
#: What OpenTelemetry and most stores take as a number.
_BITS = 63

_receiver: ContextVar[Receiver | None] = ContextVar("jobtelemetry_attributes", default=None)
_of_process: Receiver | None = None


def set_attribute(key: str, value: Value) -> None:
    """Add an attribute to the execution that is running; outside of a job this does nothing.

    Args:
        key: A name such as ``"film.id"``, of which 128 characters are kept. Setting it again replaces the value.
        value: A text, number or truth value; anything else is added as its ``str()``. The first 32 attributes of an
            execution are kept, and the first 500 characters of a text. What has no text, is an integer of more than
            64 bits or a number that JSON does not have (``nan``, ``inf``), is kept as well as it can be; nothing that
            is given here raises.
    """
    receiver = _receiver.get() or _of_process
    if receiver is not None:
        receiver(text_of(key)[:LONGEST_KEY], _bounded(value))


def receive(receiver: Receiver, *, process: bool = False) -> Token[Receiver | None]:
    """Give attributes to a receiver from now on, in this context or, in a work-horse, in every thread."""
    global _of_process
    if process:
        _of_process = receiver
    return _receiver.set(receiver)


def receiver() -> Receiver | None:
    """Who receives attributes in this thread."""
    return _receiver.get() or _of_process


def stop_receiving(token: Token[Receiver | None]) -> None:
    """Undo :func:`receive` for a context."""
    _receiver.reset(token)


def _bounded(value: object) -> Value:
    if isinstance(value, int):
        return value if isinstance(value, bool) or value.bit_length() <= _BITS else hex(value)[:LONGEST_VALUE]
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return text_of(value)[:LONGEST_VALUE]
