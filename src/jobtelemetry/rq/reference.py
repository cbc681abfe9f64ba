"""The table of hooks as Markdown, for ``docs/architecture.md``: ``python -m jobtelemetry.rq.reference``."""

from __future__ import annotations

from collections.abc import Iterator

from jobtelemetry.rq.hooks import HOOKS


def table() -> Iterator[str]:
    """The lines of the table, in the order in which a job meets the hooks."""
    yield "| RQ's method | from RQ | there to | our part | without it |"
    yield "|---|---|---|---|---|"
    for hook in HOOKS:
        since = ".".join(map(str, hook.since)) if hook.since > (0,) else ""
        yield f"| `{hook.name}` | {since} | {hook.duty} | `{hook.room}.{hook.handler}` | {hook.without} |"


if __name__ == "__main__":
    print("\n".join(table()))  # noqa: T201 - this is what it is for
