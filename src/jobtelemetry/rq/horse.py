"""In the work-horse: it finds out that it is one, and tells its parent what only the parent can go on with."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from rq.job import Job
from rq.worker.base import BaseWorker

from jobtelemetry.forking.horse_span import ending_told, exception_facts
from jobtelemetry.forking.pipe import PipeLost
from jobtelemetry.rq import labels
from jobtelemetry.rq.job import meet, note_in_hash
from jobtelemetry.rq.run import Run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.rq.spawn import inherited
from jobtelemetry.store.record import COUNTED, LATE
from jobtelemetry.usage import Meter


def enter_horse(runtime: Runtime, rq_worker: BaseWorker, job: Job) -> None:
    """This process is a work-horse, by whatever way it came to be; once."""
    if runtime.horse_of == os.getpid():
        return
    runtime.horse_of = os.getpid()
    runtime.spans.sdk.in_horse()
    runtime.enter_horse()
    run = runs_of(rq_worker).get(job.id) or _inherit(runtime, rq_worker, job)
    if run is None:
        return
    run.horse_pid = runtime.horse_of
    meet(job, run)
    if run.horse is not None and run.horse.pipe is not None:
        run.horse.pipe.in_horse()
    if runtime.config.resources:
        with runtime.fence("fork"):
            run.meter = Meter.of_horse(spawned=inherited() is not None)
            if run.meter is not None and run.horse is not None and run.horse.pipe is not None:
                run.horse.pipe.tell(memory=run.meter.told())  # at once: it may be killed
    if run.start.worker == labels.UNKNOWN:
        with runtime.fence("label"):
            _ = job.func_name  # RQ loads the job next anyway, and the horse may die of its function's import
            note_in_hash(job, labels.note_loaded(job))


def _inherit(runtime: Runtime, rq_worker: BaseWorker, job: Job) -> Run | None:
    """In a spawned horse: take over what its parent knew."""
    facts = inherited()
    if facts is None:
        return None
    run, known, off = facts
    if known.generation:
        runtime.saw(known)
    if off:
        rq_worker.__dict__[OFF] = off
    runs_of(rq_worker)[job.id] = run
    return run


def tell_parent(run: Run, runtime: Runtime) -> None:
    """In the horse: the ending is recorded; and what went wrong in our hooks, for the parent to count."""
    pipe = run.horse.pipe if run.horse is not None else None
    done = run.transaction
    if pipe is None or done is None or done.event is None:
        return
    event, errors = done.event, runtime.take_own_errors()
    message: dict[str, Any] = {
        "recorded": done.recorded,
        "late": done.answer == LATE,
        "state": event.outcome.state.value,
        "own_errors": errors,
        "known": [runtime.known.generation, runtime.known.total],
    }
    if logged := runtime.logged_here():
        message["logged"] = logged
    if not done.recorded:
        message.update(reason=event.outcome.reason, error_type=event.outcome.error_type, message=event.message)
    try:
        pipe.send(**message)
        if done.answer == COUNTED and runtime.sinks.needs_parent(event):
            exception = exception_facts(done.error) if done.error else {}
            pipe.send(untold=replace(event, exception=exception).to_dict())
        if run.trace is not None and run.trace.sampled:
            pipe.send(ending=ending_told(event, run.trace))
    except PipeLost:  # the parent finds out by itself
        runtime.give_back(errors)
    except BrokenPipeError:
        runtime.give_back(errors)
        if done.answer == COUNTED:
            runtime.spans.end_orphaned(run, event)
    except BaseException:
        runtime.give_back(errors)
        raise
