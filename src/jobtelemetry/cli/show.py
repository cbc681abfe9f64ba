"""``jobtelemetry show``: the story of a job."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option


@click.command(cls=Operator)
@click.argument("job_id", metavar="JOB_ID")
@json_option
@redis_option
def show(redis_url: str | None, job_id: str, as_json: bool) -> None:
    """Tell the story of a job: each attempt with state, wait, run, error and trace, RQ's word now, the traceback.

    Its parent and its children are told where jobs are traced: what became ready while another job of the same trace
    ran was enqueued by it. Attempts come from the execution log, the rest from RQ; arguments are never read.

    \b
    Examples:
      jobtelemetry show cinema_city_showtime_1061_4124_210001
      jobtelemetry show 3f7c5d1e-0c9b-4b5e-9d58-0d3a1c3f6b11 --json | jq .attempts
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import story_lines, terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.questions.story import tell

    where = target(redis_url)
    story = tell(where.connection, where.keys, job_id)
    if not story.known:
        hint = f"; did you mean {', '.join(story.near)}?" if story.near else ""
        raise click.ClickException(f"no job {job_id!r}: neither the execution log nor RQ has it{hint}")
    if as_json:
        terminal.show_json([story.as_dict()])
        return
    out = terminal.console()
    for line in story_lines.lines(story):
        if out.is_terminal:
            story_lines.show_one(out, line)
        else:
            click.echo(line.plain)
