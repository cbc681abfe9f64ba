"""The table of hooks: every method of RQ's that is wrapped, what of it we need, and what is off where it is missing.

Attaching, the check at start-up, ``doctor``, the table in ``docs/architecture.md`` and a test per row come from it.
Rows are in the order in which a job meets them; of several on one method, a later one is outside of an earlier one.
"""

from __future__ import annotations

from jobtelemetry.rq.attach import REST, Duty, Hook

_JOB = "rq.job:Job"
_QUEUE = "rq.queue:Queue"
_ANY_WORKER = "rq.worker.base:BaseWorker"
_FORKING = "rq.worker.worker_classes:Worker"
_SPAWNING = "rq.worker.worker_classes:SpawnWorker"
_SIMPLE = "rq.worker.worker_classes:SimpleWorker"
_REGISTRATION = "rq.worker_registration"

#: The oldest RQ that is supported, and the newest that everything was tested with (major and minor).
OLDEST, NEWEST = (2, 7), (3, 0)

HOOKS: tuple[Hook, ...] = (
    # A producer makes a job and puts it on a queue.
    Hook(_JOB, "create", "JobHooks", "create", ("func",), duty=Duty.LABEL, without="labels are read from descriptions"),
    Hook(_JOB, "to_dict", "JobHooks", "to_dict", duty=Duty.LABEL, without="labels are read from descriptions"),
    Hook(_JOB, "restore", "JobHooks", "restore", ("raw_data",), duty=Duty.LABEL, without="labels are not known"),
    Hook(_JOB, "restore", "ProducerHooks", "restore", duty=Duty.SPAN, without="retries look like new messages"),
    Hook(_QUEUE, "_enqueue_async_job", "EnqueueHooks", "enqueue", ("job",), ("unique",),
         without="enqueued jobs are not counted"),
    Hook(_QUEUE, "_enqueue_rate_limited_job", "EnqueueHooks", "enqueue", ("job",), ("unique",), since=(3,),
         without="enqueued jobs with a rate limit are not counted"),
    Hook(_QUEUE, "push_job_id", "EnqueueHooks", "push", ("pipeline",), without="enqueued jobs are not counted"),
    Hook("rq.rate_limit:RateLimitRegistry", "add_to_rate_limited", "EnqueueHooks", "push", ("pipeline",), since=(3,),
         without="enqueued jobs with a rate limit are not counted"),
    Hook(_QUEUE, "schedule_job", "EnqueueHooks", "schedule", ("job", "datetime"), duty=Duty.LABEL,
         without="an intended delay counts as waiting"),
    Hook(_QUEUE, "enqueue_job", "ProducerHooks", "enqueue", ("job",), duty=Duty.SPAN, without="no PRODUCER spans"),
    Hook(_QUEUE, "schedule_job", "ProducerHooks", "schedule", ("job", "datetime"), duty=Duty.SPAN,
         without="no PRODUCER spans of scheduled jobs"),
    Hook(_QUEUE, "_enqueue_job", "ProducerHooks", "enqueue_again", ("job",), duty=Duty.SPAN,
         without="no PRODUCER spans of repeated jobs"),
    Hook(_QUEUE, "_enqueue_rate_limited_job", "ProducerHooks", "enqueue_again", ("job",), duty=Duty.SPAN, since=(3,),
         without="no PRODUCER spans of repeated jobs"),
    Hook(_QUEUE, "enqueue_many", "ProducerHooks", "enqueue_many", duty=Duty.SPAN, without="no spans of batches"),
    Hook(_QUEUE, "create_job", "ProducerHooks", "create_in_batch", duty=Duty.SPAN, without="no spans of batches"),
    Hook("rq.registry:BaseRegistry", "requeue", "ProducerHooks", "again", ("job_or_id",), duty=Duty.SPAN,
         without="no PRODUCER spans of requeued jobs"),
    Hook("rq.repeat:Repeat", "schedule", "ProducerHooks", "repeat", duty=Duty.SPAN,
         without="no PRODUCER spans of repeated jobs"),
    # Somebody cancels it before it runs.
    Hook(_JOB, "cancel", "JobHooks", "cancel", without="jobs cancelled before they ran are not counted"),
    Hook(_JOB, "set_status", "JobHooks", "set_status", ("status", "pipeline"),
         without="jobs cancelled before they ran are not counted"),
    # An RQ worker starts.
    Hook(_ANY_WORKER, "bootstrap", "LifecycleHooks", "bootstrap", duty=Duty.CARE,
         without="what Redis refuses is found out at the first job"),
    Hook(_REGISTRATION, "register", "LifecycleHooks", "register", ("pipeline",),
         without="an RQ worker has no account, and looks uninstrumented"),
    Hook(
        _REGISTRATION,
        "unregister",
        "LifecycleHooks",
        "unregister",
        ("pipeline",),
        duty=Duty.CARE,
        without="accounts of RQ workers that left stay open for a while",
    ),
    # It takes a job and creates an execution.
    Hook(_FORKING, "execute_job", "ParentHooks", "execute_job", ("job",), duty=Duty.SPAN, without="no CONSUMER spans"),
    Hook(_SIMPLE, "execute_job", "ParentHooks", "execute_job", ("job",), duty=Duty.SPAN, without="no CONSUMER spans"),
    Hook(_ANY_WORKER, "prepare_execution", "StartHooks", "prepare_execution", ("job",),
         without="executions are not in the running table"),
    Hook(_ANY_WORKER, "set_state", "StartHooks", "set_state", ("pipeline",),
         without="executions are not in the running table"),
    # A forking one starts a work-horse and waits for it.
    Hook(_FORKING, "fork_work_horse", "ParentHooks", "fork_work_horse", ("job",),
         without="how a work-horse ended is not known at once"),
    Hook(_SPAWNING, "fork_work_horse", "ParentHooks", "spawn_work_horse", ("job",),
         without="spawned work-horses are not instrumented"),
    Hook(_ANY_WORKER, "main_work_horse", "ParentHooks", "main_work_horse", ("job",),
         without="a work-horse does not know its execution"),
    # The job runs.
    Hook(_ANY_WORKER, "perform_job", "StartHooks", "perform_job", ("job",), without="what a job did is not known"),
    Hook(_JOB, "_execute", "JobHooks", "execute", without="Cancel and Discard are ordinary failures"),
    Hook(_JOB, "func", "JobHooks", "load", duty=Duty.LABEL, without="labels are read from descriptions"),
    # It ends.
    Hook(_ANY_WORKER, "handle_exception", "EndingHooks", "handle_exception", ("job",), (REST,),
         without="errors have no type, and Cancel is an error"),
    # Up to 2.50 or so, sentry_sdk puts its own on the subclass; if it came first, ours would be passed by.
    Hook(_FORKING, "handle_exception", "EndingHooks", "handle_exception", ("job",), (REST,), optional=True),
    Hook(_ANY_WORKER, "handle_job_success", "EndingHooks", "handle_job_success", ("job",),
         without="completed jobs are not counted"),
    Hook(_ANY_WORKER, "handle_job_retry", "EndingHooks", "handle_job_retry", ("job", "retry"), ("execution",),
         without="returned retries are not counted"),
    Hook(_ANY_WORKER, "handle_job_failure", "EndingHooks", "handle_job_failure", ("job",), ("execution",),
         without="failed and cancelled jobs are not counted"),
    Hook(_ANY_WORKER, "cleanup_execution", "RecordingHooks", "cleanup_execution", ("job", "pipeline"),
         without="nothing is counted"),
    Hook(
        _ANY_WORKER,
        "increment_failed_job_count",
        "RecordingHooks",
        "increment_failed_job_count",
        ("pipeline",),
        until=(3,),
        without="what RQ counts of failures is not in the account",
    ),
    Hook(_FORKING, "wait_for_horse", "ParentHooks", "wait_for_horse",
         without="the signal that killed a work-horse is not known"),
    Hook(_FORKING, "monitor_work_horse", "ParentHooks", "monitor_work_horse", ("job",),
         without="a work-horse that died is counted late"),
    # A synchronous queue does all of that in the process that enqueues.
    Hook(_QUEUE, "run_sync", "SynchronousHooks", "run_sync", ("job",), without="synchronous jobs are not counted"),
    Hook(_QUEUE, "run_job", "SynchronousHooks", "run_job", ("job",), without="a synchronous Cancel is a failure"),
    Hook(_JOB, "_handle_success", "SynchronousHooks", "handle_success", ("pipeline",),
         without="synchronous jobs are not counted"),
    Hook(_JOB, "_handle_failure", "SynchronousHooks", "handle_failure", ("pipeline",),
         without="synchronous jobs are not counted"),
    # Now and then, and at its end.
    Hook(_ANY_WORKER, "run_maintenance_tasks", "LifecycleHooks", "run_maintenance_tasks", duty=Duty.CARE,
         without="abandoned jobs are counted by the exporter alone"),
    Hook(_ANY_WORKER, "teardown", "LifecycleHooks", "teardown", duty=Duty.SPAN,
         without="what is still to be sent when a worker ends is lost"),
)  # fmt: skip
