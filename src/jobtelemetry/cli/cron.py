"""``jobtelemetry cron``."""

from __future__ import annotations

from jobtelemetry.cli.rq_command import instrumented

cron = instrumented(
    "cron",
    name="cron",
    help="""Start RQ's cron scheduler; what it enqueues is counted and traced.

    This is RQ's own command with all of its options.

    \b
    Example:
      jobtelemetry cron --url redis://localhost:6379/0 cron_config.py
    """,
    runs_jobs=False,
)
