"""From how much, and since when: said with every answer from the log, so that none is taken for more than it is."""

from __future__ import annotations

from jobtelemetry.cli.terminal import moment
from jobtelemetry.questions.log import Extent


def scope(reach: Extent, begin: float | None, read: int) -> str:
    """Where figures come from.

    Args:
        reach: How far the log reaches.
        begin: From when on the user asked, Unix time; ``None`` for all.
        read: How many of the entries looked at were asked for.
    """
    if reach.first_at is None:
        return "The execution log is empty."
    since = max(begin or 0.0, reach.first_at) if reach.trimmed or begin is None else begin
    text = (
        f"From {read:,} of {reach.length:,} entries of the execution log, since {moment(since, reach.now, zone=True)}."
    )
    return text if complete(reach, begin) else f"{text} {_too_short(reach)}"


def incomplete(reach: Extent, begin: float | None) -> str:
    """What to say where the log does not reach as far back as was asked for; nothing where it does."""
    return "" if complete(reach, begin) else _too_short(reach)


def complete(reach: Extent, begin: float | None) -> bool:
    """Whether the log holds everything that was asked for; all of a trimmed log is as much as there is."""
    return begin is None or reach.covers(begin)


def nothing_found(reach: Extent, begin: float | None, log_size: int) -> str:
    """What to say where nothing is asked for."""
    if not reach.length:
        hint = (
            "JOBTELEMETRY_LOG_SIZE is 0: set it for the RQ workers to keep one."
            if not log_size
            else "Nothing has ended yet, or the RQ workers are not instrumented: see 'jobtelemetry doctor'."
        )
        return f"The execution log is empty. {hint}"
    since = f" since {moment(begin, reach.now, zone=True)}" if begin is not None else ""
    oldest = moment(reach.first_at, reach.now, zone=True)
    text = f"No execution{since} matches; the log has {reach.length:,}, the oldest of {oldest}."
    return text if complete(reach, begin) else f"{text} {_too_short(reach)}"


def _too_short(reach: Extent) -> str:
    return (
        f"INCOMPLETE: the log reaches back to {moment(reach.first_at, reach.now, zone=True)} only; "
        "a larger JOBTELEMETRY_LOG_SIZE would keep more."
    )
