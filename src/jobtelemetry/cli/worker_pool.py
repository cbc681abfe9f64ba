"""``jobtelemetry worker-pool``."""

from __future__ import annotations

from jobtelemetry.cli.rq_command import instrumented

worker_pool = instrumented(
    "worker-pool",
    name="worker-pool",
    help="""Start a pool of RQ workers that record every execution.

    This is RQ's own command with all of its options.

    \b
    Example:
      jobtelemetry worker-pool --url redis://localhost:6379/0 -n 4 high default --metrics 10427 --preload app.jobs
    """,
)
