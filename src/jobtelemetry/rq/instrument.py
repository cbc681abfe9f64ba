"""Switching it on and off: every hook of the table is attached, or it is said what this RQ does not have."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rq.version import VERSION

from jobtelemetry import executing
from jobtelemetry.config import Config
from jobtelemetry.rq.attach import Attachments, Duty, Hook, missing, numbers
from jobtelemetry.rq.hooks import HOOKS, NEWEST, OLDEST
from jobtelemetry.rq.rooms import Rooms
from jobtelemetry.store.keys import LACKING, MISSING, UNTESTED

log = logging.getLogger("jobtelemetry")

_attached: tuple[Attachments, Rooms] | None = None


def instrument(config: Config | None = None) -> None:
    """Record every execution of every RQ worker and queue of this process, and of its children.

    Covers worker classes defined before or after, here or elsewhere. Calling it again changes nothing; call
    :func:`uninstrument` first to change the settings.

    What this version of RQ does not have is said in the log. Where something is missing without which numbers would be
    wrong, nothing is counted, and its RQ workers show as uninstrumented.

    Args:
        config: The settings; from the environment by default.

    Raises:
        ConfigError: A setting has no usable value.
    """
    global _attached
    if _attached is not None:
        return
    settings = config or Config.from_env()
    if settings.strict_reasons:
        from jobtelemetry.outcomes import strict_reasons

        strict_reasons()
    version = rq_version()
    off, remarks = _say_what_is_missing(version)
    rooms = Rooms(settings, off, remarks)
    attachments = Attachments()
    for hook in HOOKS:
        if hook.since <= version < hook.until and (not off or hook.duty is Duty.CARE or _opens(hook)):
            attachments.attach(hook, rooms.handler)
    if not off:
        executing.find_with(executing.nobody, executing.nobody, settings)
    rooms.enter()
    _attached = attachments, rooms


def uninstrument() -> None:
    """Take every hook off again. Executions under way are counted by a reconciler.

    What somebody has put on top of a hook since stays, and the hook below it does nothing any more.
    """
    global _attached
    if _attached is not None:
        _attached[0].detach()
        _attached[1].leave()
        executing.find_with(executing.nobody, executing.nobody, None)
        _attached = None


def is_instrumented() -> bool:
    """Whether this process is instrumented, and can count: every hook that counting needs was found."""
    return _attached is not None and not _attached[1].off


def rq_version() -> tuple[int, ...]:
    """RQ's version, as far as it is numbers."""
    return numbers(VERSION)


def _opens(hook: Hook) -> bool:
    """Without counting, an RQ worker still says why it is not counted."""
    return hook.handler == "register"


def _say_what_is_missing(version: tuple[int, ...]) -> tuple[str, dict[str, str]]:
    """One line for what counting cannot do without, one for the rest.

    Returns:
        Why nothing can be counted, if so; and what the marks of this process's RQ workers say of its RQ.
    """
    facts = {"rq": VERSION}
    remarks = {}
    if version < OLDEST:
        reason = f"RQ {VERSION} is older than {'.'.join(map(str, OLDEST))}, the oldest that can be recorded"
        log.error("jobtelemetry counts nothing in this process: %s", reason, extra=facts)
        return reason, {MISSING: f"RQ>={'.'.join(map(str, OLDEST))}"}
    lost = missing(HOOKS, version)
    if version[:2] > NEWEST:
        remarks[UNTESTED] = "yes"
        log.warning(
            "RQ %s is newer than %s, the newest that jobtelemetry was tested with",
            VERSION,
            ".".join(map(str, NEWEST)),
            extra=facts,
        )
    counting = [f"{what} ({hook.without})" for hook, what in lost.items() if hook.duty is Duty.COUNT]
    others = [f"{what} ({hook.without})" for hook, what in lost.items() if hook.duty is not Duty.COUNT]
    if counting:
        remarks[MISSING] = _names(hook for hook in lost if hook.duty is Duty.COUNT)
    if others:
        remarks[LACKING] = _names(hook for hook in lost if hook.duty is not Duty.COUNT)
        log.warning("RQ %s lacks what jobtelemetry hooks: %s", VERSION, "; ".join(others), extra=facts)
    if counting:
        reason = f"RQ {VERSION} lacks what counting needs: {'; '.join(counting)}"
        log.error("jobtelemetry counts nothing in this process: %s", reason, extra=facts)
        return reason, remarks
    return "", remarks


def _names(hooks: Iterable[Hook]) -> str:
    return " ".join(dict.fromkeys(hook.name for hook in hooks))
