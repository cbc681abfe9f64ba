"""The jobs."""


def sync() -> None:
    """Is run every second by RQ's cron."""
