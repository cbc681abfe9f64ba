"""Sentry: one event per ending that the policy reports, wherever the user's SDK is initialised.

The SDK enables an integration of its own for RQ. It keeps its transaction, breadcrumbs and job data; which failures
become events is decided here and no longer there, because it reports no killed work-horse, no abandoned execution
and no exhausted retries. ``sentry_sdk`` is never imported here before somebody else has done so, except by
:func:`start_from_environment`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.text import LONGEST_ON_SPAN, is_meant_for_rq, label_text, sentry_text

log = logging.getLogger("jobtelemetry")

#: Logger -> the messages in which RQ tells of an ending, which is reported, or not, as an event of its own. In the
#: words of RQ 2 and 3; what else these log is no ending, and Sentry's to hear.
_ENDINGS = {
    "rq.job": "error while executing failure callback",
    "rq.registry": r"cleanup: (?:%s %s|Moving job to)|Moving job to FailedJobRegistry",
    "rq.worker": (
        r"exception raised while executing|Moving job to FailedJobRegistry|[Ww]ork-?[ -]?horse (?:killed|terminated)"
        r"|job \S+ failed \(|exceeded maximum retry attempts"
    ),
}

_MESSAGES = {
    "AbandonedJobError": "the RQ worker that ran this job is gone",
    "MaxRetriesExceeded": "the job returned Retry more often than its maximum allows",
    "StuckInIntermediateQueue": "the RQ worker that took this job from the queue died before it started it",
    "WorkHorseExited": "the work-horse ended without a result",
    "WorkHorseKilled": "the work-horse was killed",
}

_hooked = False
_deciding = False
#: Whether endings are told here, and so our own line about one is a duplicate; also where RQ's integration decides
#: nothing, in the exporter.
_telling = False
_started = False


class SentrySink:
    """Sends what the policy reports through the SDK's current client; without one, nothing.

    Args:
        level_of: The policy: the level of an ending's event, or ``None`` for no event.
        flush_timeout: Seconds that :meth:`flush` waits at most.
    """

    def __init__(self, level_of: Callable[[ExecutionEvent], str | None], *, flush_timeout: float) -> None:
        self._level_of = level_of
        self._flush_timeout = flush_timeout
        self._reported_in = 0
        _tell(True)
        _watch_imports()

    def __call__(self, event: ExecutionEvent) -> None:
        """Send the event, if it is one to report."""
        level = self._level_of(event)
        client = _active_client()
        if level is None or client is None:
            return
        self._reported_in = os.getpid()
        _capture(client, event, level)

    def needs_parent(self, event: ExecutionEvent) -> bool:
        """Whether the event is to be reported and this process has no Sentry to report it to."""
        return self._level_of(event) is not None and _active_client() is None

    def enter_horse(self) -> None:
        """In a forked work-horse: leave to the parent what the parent is still sending."""
        client = _active_client()
        if client is not None and self._reported_in not in (0, os.getpid()):
            from sentry_sdk.transport import make_transport

            client.transport = make_transport(client.options)

    def flush(self) -> None:
        """Wait until everything is sent, or the time is up; the SDK's own waiting is then over as well."""
        client = _active_client()
        if client is None or self._reported_in != os.getpid():
            return
        began = time.monotonic()
        client.flush(timeout=self._flush_timeout)
        if time.monotonic() - began >= self._flush_timeout:
            client.options["shutdown_timeout"] = 0


def decide(yes: bool) -> None:
    """Choose for the SDK which failures of RQ jobs become events, or leave that to it again.

    Works whether the SDK is initialised already, later, or never.
    """
    global _deciding
    _deciding = yes
    _tell(yes)
    _watch_imports()


def _tell(yes: bool) -> None:
    global _telling
    _telling = yes


class _UntilImported:
    """Notices that somebody begins to import the SDK: what is put around its parts is not loaded before."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """It finds nothing itself."""
        if name != "sentry_sdk":
            return
        try:
            _hook_parts()
        except Exception as error:
            if is_meant_for_rq(error):
                raise
            log.warning("a failed job may be reported to Sentry twice", extra={"problem": str(error)})


def _watch_imports() -> None:
    global _hooked
    if _hooked:
        return
    _hooked = True
    if "sentry_sdk" in sys.modules:
        _hook_parts()
    else:
        sys.meta_path.insert(0, _UntilImported)


def _hook_parts() -> None:
    import wrapt

    if _UntilImported in sys.meta_path:
        sys.meta_path.remove(_UntilImported)
    wrapt.register_post_import_hook(_replace_choice, "sentry_sdk.integrations.rq")
    wrapt.register_post_import_hook(_drop_duplicates, "sentry_sdk.scope")


def start_from_environment() -> bool:
    """Initialise the SDK if ``SENTRY_DSN`` is set and nobody has done so. For our own commands.

    Where the SDK is missing or refuses its settings, one line in the log says so, and nothing is sent.

    Returns:
        Whether it was done here.
    """
    global _started
    if not os.environ.get("SENTRY_DSN") or _active_client() is not None:
        return False
    try:
        import sentry_sdk
    except ImportError:
        problem = "SENTRY_DSN is set and sentry-sdk is not installed: pip install 'jobtelemetry[sentry]'"
        log.warning("nothing is sent to Sentry; jobs run and are counted", extra={"problem": problem})
        return False
    try:
        sentry_sdk.init()
    except Exception as error:  # noqa: BLE001 - whatever the SDK makes of the environment
        problem = f"SENTRY_DSN and the other SENTRY_* variables cannot be used: {' '.join(str(error).split())}"
        log.warning("nothing is sent to Sentry; jobs run and are counted", extra={"problem": problem})
        return False
    _started = True
    return True


def started_from_environment() -> bool:
    """Whether :func:`start_from_environment` did it."""
    return _started


def _active_client() -> Any:
    sdk = sys.modules.get("sentry_sdk")
    get_client = getattr(sdk, "get_client", None)
    client = get_client() if get_client is not None else None
    return client if client is not None and client.is_active() else None


def _personal() -> bool:
    """Whether the user lets the SDK send personal data, or (its newer option) what is in queues."""
    client = _active_client()
    options = client.options if client is not None else {}
    collected = options.get("data_collection")
    asked_for = isinstance(collected, dict) and collected.get("provided_by_user") and collected.get("queues")
    return bool(options.get("send_default_pii") or asked_for)


def _replace_choice(module: Any) -> None:
    """The integration's own capturing becomes ours to allow, and what it adds to an error loses the job's arguments.

    Its transactions stay as they are.
    """

    def capture(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        return None if _deciding else wrapped(*args, **kwargs)

    def make_processor(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        add_job = wrapped(*args, **kwargs)

        def processor(payload: Any, hint: Any) -> Any:
            payload = add_job(payload, hint)
            ours = _deciding and payload and payload.get("type") != "transaction" and not _personal()
            return _without_arguments(payload) if ours else payload

        return processor

    import wrapt

    try:
        wrapt.wrap_function_wrapper(module, "_capture_exception", capture)
        wrapt.wrap_function_wrapper(module, "_make_event_processor", make_processor)
    except AttributeError:
        log.warning("this version of sentry-sdk is not known to jobtelemetry; a failure may be reported twice")


def _drop_duplicates(module: Any) -> None:
    """A log record about an ending becomes no event beside the ending's own; it stays a breadcrumb."""

    def processor(payload: Any, hint: Any) -> Any:
        record = (hint or {}).get("log_record")
        if record is None:
            return payload
        if _tells_of_ending(record):
            return None
        constant = getattr(record.msg, "constant", None)  # Sentry groups by the message, and the facts are apart
        if constant and isinstance(payload.get("logentry"), dict):
            payload["logentry"]["message"] = constant
        return payload

    # First of all: the SDK's own processor against duplicates would remember the exception of what is dropped here, and
    # then take the ending's own event for the duplicate.
    processors = getattr(module, "global_event_processors", None)
    if isinstance(processors, list):
        processors.insert(0, processor)
    else:
        module.add_global_event_processor(processor)


def _tells_of_ending(record: logging.LogRecord) -> bool:
    if record.name == "jobtelemetry":
        return _telling and hasattr(record, "execution_id")  # what went wrong with ourselves has none
    words = _ENDINGS.get(record.name) if _deciding else None
    if words is None or not re.search(words, str(record.msg)):
        return False
    if record.name != "rq.job":
        return True
    # Raised while a job failed, it becomes the job's own error; in the clean-up of a registry it does not.
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and error.__context__ is not None


def _capture(client: Any, event: ExecutionEvent, level: str) -> None:
    import sentry_sdk

    payload, hint = _payload(client, event)

    def complete(payload: Any, hint: Any) -> Any:
        # The last of the processors: what an integration has set for its own events is not for ours.
        payload["level"] = level
        payload["fingerprint"] = _fingerprint(event)
        payload["tags"] = {**dict(payload.get("tags") or {}), **_tags(event)}
        for value in (payload.get("exception") or {}).get("values") or ():
            value["type"] = label_text(value.get("type"))
        payload.setdefault("contexts", {})["execution"] = _context(event)
        if not payload.get("transaction"):
            payload["transaction"] = event.worker
        return payload

    with sentry_sdk.new_scope() as scope:
        scope.add_event_processor(complete)
        sentry_sdk.capture_event(payload, hint=hint)


def _payload(client: Any, event: ExecutionEvent) -> tuple[Any, Any]:
    mechanism = {"type": "jobtelemetry", "handled": False}
    if event.error is not None:
        from sentry_sdk.utils import event_from_exception

        error = event.error
        # A frame's variables are the job's arguments, or made of them.
        options = client.options if _personal() else {**client.options, "include_local_variables": False}
        return event_from_exception((type(error), error, error.__traceback__), options, mechanism)
    kind = event.outcome.error_type
    value = event.message or _MESSAGES.get(kind, "")
    if event.signal:
        value = f"{value} by signal {event.signal}"
    payload: dict[str, Any] = {"exception": {"values": [{"type": kind, "value": value, "mechanism": mechanism}]}}
    if stack := event.exception.get("stacktrace"):  # of a work-horse that has no Sentry of its own
        payload["extra"] = {"stacktrace": stack}
    return payload, {}


def _fingerprint(event: ExecutionEvent) -> list[str]:
    group = [event.worker, event.outcome.error_type]
    return group if event.error is None else [*group, "{{ default }}"]


def _tags(event: ExecutionEvent) -> dict[str, str]:
    tags = {
        "worker": event.worker,
        "queue": event.queue,
        "state": event.outcome.state.value,
        "attempt": str(event.attempt),
        "error_type": event.outcome.error_type,
    }
    if event.trace_id:
        tags["trace_id"] = event.trace_id
    return {name: sentry_text(tag) for name, tag in tags.items()}


def _context(event: ExecutionEvent) -> dict[str, Any]:
    facts = {
        "job_id": event.job_id,
        "execution_id": event.execution_id,
        "rq_worker": event.rq_worker,
        "max_attempts": event.max_attempts,
        "started_at": event.started_at,
        "duration": event.duration,
        "wait": event.wait,
        "cpu": event.cpu,
        "memory": event.memory,
        "reason": event.outcome.reason,
        "retry_after": event.retry_after,
        "signal": event.signal,
        "source": event.source,
        "span_id": event.span_id,
    }
    return {
        name: sentry_text(fact, LONGEST_ON_SPAN) if isinstance(fact, str) else fact
        for name, fact in facts.items()
        if fact not in (None, "", 0)
    }


def _without_arguments(payload: Any) -> Any:
    """Take out what the integration adds, even where it leaves out the arguments: RQ's description has them all."""
    job = (payload.get("extra") or {}).get("rq-job")
    if isinstance(job, dict):
        for name in ("description", "args", "kwargs"):
            job.pop(name, None)
    return payload
