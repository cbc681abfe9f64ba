"""``jobtelemetry worker``."""

from __future__ import annotations

from jobtelemetry.cli.rq_command import instrumented

worker = instrumented(
    "worker",
    name="worker",
    help="""Start an RQ worker that records every execution.

    This is RQ's own command with all of its options.

    \b
    Example:
      jobtelemetry worker --url redis://localhost:6379/0 high default --metrics 10427 --preload app.jobs
    """,
)
