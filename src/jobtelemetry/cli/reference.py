"""Makes the reference of all commands in ``docs/cli.md``: ``python -m jobtelemetry.cli.reference docs/cli.md``.

What stands above the marker is written by hand and kept; what follows is made from the commands, so that no option can
be missing. A test makes it again and compares.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from jobtelemetry.cli import COMMANDS, main
from jobtelemetry.cli.operator import EXIT_CODES

MARKER = "<!-- Made by python -m jobtelemetry.cli.reference from here on; do not edit. -->"

#: RQ's own commands, whose options are RQ's to document, and differ between its versions; and what we add.
_RQS = {"worker": ("metrics", "app_version"), "worker-pool": ("metrics", "app_version")}


def document(before: str) -> str:
    """The whole page, from the text of the page as it is."""
    kept = before.partition(MARKER)[0].rstrip()
    return f"{kept}\n\n{MARKER}\n\n{reference()}"


def reference() -> str:
    """The part that is made from the commands."""
    context = click.Context(main, info_name="jobtelemetry")
    parts = ["## Commands\n", *(f"- [`{name}`](#{name}): {said}" for name, said in COMMANDS.items()), ""]
    for name in COMMANDS:
        command = main.get_command(context, name)
        parts += _command(f"jobtelemetry {name}", name, command, level=3) if command else ()
    parts += ["## Exit codes", "", "Of the commands that ask Redis; `doctor` has its own, above.", ""]
    parts += ["| code | when |", "|---|---|", *(f"| {code} | {when} |" for code, when in EXIT_CODES.items()), ""]
    return "\n".join(parts)


def _command(path: str, name: str, command: click.Command, level: int) -> Iterator[str]:
    shown = [p for p in command.params if isinstance(p, click.Option) and p.name in _RQS.get(name, (p.name,))]
    arguments = [p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join([path, "[OPTIONS]", *([] if name in _RQS else arguments)])
    yield from (f"{'#' * level} {name}", "", f"`{usage}`", "", *_help(command.help or ""))
    if shown:
        yield from ("| option | meaning |", "|---|---|", *map(_option, shown), "")
    if name in _RQS:
        yield from (f"All options of `rq {name}` are there too: see `jobtelemetry {name} --help`.", "")
    if isinstance(command, click.Group):
        for sub, child in sorted(command.commands.items()):
            yield from _command(f"{path} {sub}", f"{name} {sub}", child, level + 1)


def _help(text: str) -> Iterator[str]:
    """Paragraphs; those that click leaves as they are become code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            head, *lines = paragraph.removeprefix("\b").strip("\n").split("\n")
            code = [head, *lines] if not head.endswith(":") else lines
            if head.endswith(":"):
                yield from (head, "")
            yield from ("```sh" if head.endswith(":") else "```", *(line.strip() for line in code), "```", "")
        else:
            yield from (" ".join(paragraph.split()), "")


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.secondary_opts, *option.opts))
    value = "" if option.is_flag else f" {_value(option)}"
    notes = [option.help or "", _default(option), "Required." if option.required else ""]
    return f"| {names}{value} | {' '.join(filter(None, notes))} |".replace("[HOST:]PORT", r"\[HOST:\]PORT")


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    if isinstance(option.type, click.IntRange):
        return "NUMBER"
    return option.type.name.upper()


def _default(option: click.Option) -> str:
    if not option.show_default:
        return ""
    shown: Any = option.show_default if isinstance(option.show_default, str) else option.default
    return f"Default: {shown}."


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(document(page.read_text("utf-8") if page.exists() else "# The command line\n"), "utf-8")
