"""Which worker label a job has: the dotted path of its function, of its method, or of its class.

A method is a kind of work of its own, ``invoices.Invoice.send``, whether it is enqueued as a method or by its path. The
one method through which a class that is one kind of work is entered (:data:`ENTRY_POINTS`) has the class's name.

RQ's parent process never loads a job's arguments, so the producer notes the label in the job's hash. Where it did not
(it is not instrumented), the description tells, until the work-horse, which loads the job anyway, knows better and
notes that there.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from typing import Any

from rq.job import UNEVALUATED, Job

from jobtelemetry.options import options_of
from jobtelemetry.store.keys import (
    JOB_ATTEMPT_FIELD,
    JOB_DUE_FIELD,
    JOB_MAX_ATTEMPTS_FIELD,
    JOB_REPORT_FIELD,
    JOB_WORKER_FIELD,
)
from jobtelemetry.text import attribute, label_text, text_of

#: The label as long as nobody knows better.
UNKNOWN = "unknown"

#: Methods that stand for their class: ``ShowtimeProcessJob().perform`` is ``ShowtimeProcessJob``.
ENTRY_POINTS = frozenset({"__call__", "execute", "handle", "perform", "run"})

_NOTED = "_jobtelemetry_worker"
_DUE = "_jobtelemetry_due"
_NEW = "_jobtelemetry_new"
_REPORT = "_jobtelemetry_report"
_MOST = "_jobtelemetry_max_attempts"
_CACHED = type(functools.lru_cache(lambda: None))
_CALL = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_<>]\w*)+)\(")


def of_callable(function: Any) -> str:
    """The label of what is given to ``enqueue``: a function, a method, a callable instance or a dotted path."""
    return label_text(_of_callable(function))


def _of_callable(function: Any) -> str:
    if type(function) is str:
        return _decorated_name(function) or _of_path(function)
    inner = _unwrapped(function)
    if name := options_of(function).name or options_of(inner).name:
        return name
    if isinstance(inner, (str, bytes)):
        path = inner.decode("utf-8", "replace") if isinstance(inner, bytes) else inner
        return _decorated_name(path) or _of_path(path)
    if inspect.ismethod(inner):
        owner = inner.__self__
        return _of_method(owner if inspect.isclass(owner) else type(owner), inner.__name__)
    if inspect.isfunction(inner) or inspect.isbuiltin(inner):
        return _of_path(f"{inner.__module__}.{inner.__qualname__}")
    return _of_class(type(inner))


def of_waiting_job(job: Job) -> str:
    """The label of a job that must not be loaded: noted by its producer, or read from RQ's description."""
    if noted := job.__dict__.get(_NOTED):
        return str(noted)
    call = _CALL.match(job.description or "")
    return label_text(_of_path(call[1])) if call else UNKNOWN


def of_loaded_job(job: Job, known: str) -> str:
    """The label of a job that its work-horse has loaded: what the function says, what was noted, what it is.

    Args:
        known: The label so far, kept where the job is not loaded.
    """
    noted = str(job.__dict__.get(_NOTED) or "")
    if job._func_name is UNEVALUATED or job._instance is UNEVALUATED:
        return label_text(noted or known)
    called = str(job._func_name)
    if job._instance is None:
        return label_text(_decorated_name(called) or noted or _of_path(called))
    owner = job._instance if inspect.isclass(job._instance) else type(job._instance)
    if name := options_of(attribute(owner, called)).name:
        return label_text(name)
    if called == "__call__" and not inspect.isclass(job._instance):
        return label_text(options_of(owner).name or noted or _of_callable(job._instance))
    return label_text((options_of(owner).name and _of_method(owner, called)) or noted or _of_method(owner, called))


def note(job: Job, function: Any) -> None:
    """Remember a job's label until the job is saved."""
    noted = job.__dict__
    noted[_NEW], noted[_NOTED] = True, of_callable(function)
    noted[_REPORT], noted[_MOST] = _options(function)


def note_loaded(job: Job) -> dict[str, str]:
    """Remember the label that only a loaded job can tell. Returns what that changes in the job's hash."""
    label = of_loaded_job(job, UNKNOWN)
    if label in (UNKNOWN, of_waiting_job(job)):
        return {}
    job.__dict__[_NOTED] = label
    return {JOB_WORKER_FIELD: label}


def note_options(job: Job, function: Any) -> dict[str, str]:
    """Remember what a job's function, or its class, says of reporting and attempts.

    Returns:
        What that changes in the job's hash.
    """
    reports, most = _options(function)
    news = {}
    if reports != report(job):
        news[JOB_REPORT_FIELD] = reports
    if most != max_attempts(job):
        news[JOB_MAX_ATTEMPTS_FIELD] = str(most or "")
    job.__dict__[_REPORT], job.__dict__[_MOST] = reports, most
    return news


def _options(function: Any) -> tuple[str, int]:
    """Of a job's function or, where that says nothing, its class: when Sentry hears of it, and how many attempts."""
    own, of_class = options_of(function), options_of(attribute(function, "__self__"))
    return own.report or of_class.report, own.max_attempts or of_class.max_attempts


def max_attempts(job: Job) -> int:
    """How many attempts the job's decorator says that it has, whoever starts them; 0 where it says nothing."""
    return int(job.__dict__.get(_MOST) or 0)


def report(job: Job) -> str:
    """What the job's decorator says about reporting, as far as this process knows; empty for nothing."""
    return str(job.__dict__.get(_REPORT) or "")


def extra_of(job: Job, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The extra labels that a job carries in ``job.meta``, in the order of the setting."""
    if not names or not isinstance(job.meta, dict):
        return ()
    return tuple((name, text_of(job.meta[name])) for name in names if job.meta.get(name) not in (None, ""))


def note_due(job: Job, due: float | None) -> None:
    """Remember from when a delayed job can run, Unix time; ``None`` forgets it."""
    job.__dict__[_DUE] = due


def due(job: Job) -> float | None:
    """From when a delayed job can run, Unix time; ``None`` where it had no delay."""
    return job.__dict__.get(_DUE)


def fields(job: Job) -> dict[str, str]:
    """What is to be saved in the job's hash."""
    saved = {}
    if noted := job.__dict__.get(_NOTED):
        saved[JOB_WORKER_FIELD] = noted
    if _DUE in job.__dict__:
        moment = job.__dict__[_DUE]
        saved[JOB_DUE_FIELD] = "" if moment is None else f"{moment:.6f}"
    if said := report(job):
        saved[JOB_REPORT_FIELD] = said
    if most := max_attempts(job):
        saved[JOB_MAX_ATTEMPTS_FIELD] = str(most)
    if job.__dict__.pop(_NEW, False):
        saved[JOB_ATTEMPT_FIELD] = "0"  # another job may have had its id
    return saved


def learn(job: Job) -> None:
    """Take what the work-horse noted in the job's hash before it died."""
    names = (JOB_WORKER_FIELD, JOB_REPORT_FIELD, JOB_MAX_ATTEMPTS_FIELD)
    found = job.connection.hmget(job.key, names)
    restore(job, {name.encode(): value for name, value in zip(names, found, strict=True)})


def restore(job: Job, raw: dict[Any, Any]) -> None:
    """Take what was saved in the job's hash."""
    if noted := raw.get(JOB_WORKER_FIELD.encode()):
        job.__dict__[_NOTED] = label_text(noted.decode("utf-8", "replace"))
    if moment := raw.get(JOB_DUE_FIELD.encode()):
        job.__dict__[_DUE] = float(moment)
    if said := raw.get(JOB_REPORT_FIELD.encode()):
        job.__dict__[_REPORT] = said.decode()
    if (most := raw.get(JOB_MAX_ATTEMPTS_FIELD.encode())) and most.isdigit():
        job.__dict__[_MOST] = int(most)


def _unwrapped(function: Any) -> Any:
    """The function inside ``functools.partial`` and ``functools.lru_cache``; others are callable in their own right."""
    for _ in range(20):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, _CACHED):
            function = attribute(function, "__wrapped__", function)
        else:
            break
    return function


def _of_class(cls: type) -> str:
    return options_of(cls).name or f"{cls.__module__}.{cls.__qualname__}"


def _of_method(cls: type, name: str) -> str:
    return _of_class(cls) if name in ENTRY_POINTS else f"{_of_class(cls)}.{name}"


@functools.lru_cache(maxsize=1_000)
def _of_path(path: str) -> str:
    """The label of a dotted path; that its last name is a class's method shows in the class's capital letter."""
    owner, _, name = path.rpartition(".")
    is_class = owner.rpartition(".")[2].lstrip("_")[:1].isupper()
    return owner if is_class and name in ENTRY_POINTS else path


def _decorated_name(path: str) -> str:
    """The name given with ``@job(name=...)``, without importing anything: the work-horse has done so."""
    module_path, _, rest = path.rpartition(".")
    while module_path:
        if module := sys.modules.get(module_path):
            owner: Any = None
            found: Any = module
            for part in rest.split("."):
                owner, found = found, attribute(found, part)
            if name := options_of(found).name:
                return name
            return _of_method(owner, part) if inspect.isclass(owner) and options_of(owner).name else ""
        module_path, _, head = module_path.rpartition(".")
        rest = f"{head}.{rest}"
    return ""
