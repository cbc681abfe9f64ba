"""The reference of the command line is made from the commands, and nothing is missing in it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from jobtelemetry.cli import COMMANDS, main, reference
from jobtelemetry.cli.operator import Operator

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def command(name: str) -> click.Command:
    """A command by its name."""
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def test_the_reference_is_up_to_date() -> None:
    """Every command and option stands in docs/cli.md as it is in the code."""
    page = PAGE.read_text("utf-8")
    assert page == reference.document(page), "run: python -m jobtelemetry.cli.reference docs/cli.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """No option, of a subcommand neither, is without a help text."""
    todo = [command(name)]
    while todo:
        one = todo.pop()
        todo += one.commands.values() if isinstance(one, click.Group) else []
        for option in one.params:
            assert not isinstance(option, click.Option) or option.help, f"{one.name} {option.opts}"


@pytest.mark.parametrize("name", [name for name in COMMANDS if isinstance(command(name), Operator)])
def test_every_question_has_examples_the_connection_and_json(name: str) -> None:
    """The commands for operators are alike: examples that begin with their names, --redis-url, --json."""
    one = command(name)
    assert f"\n      jobtelemetry {name}" in (one.help or "") or f"\n  jobtelemetry {name}" in (one.help or "")
    assert {"redis_url", "as_json"} <= {parameter.name for parameter in one.params}


def test_examples_can_be_typed() -> None:
    """Every option in an example exists."""
    for name in COMMANDS:
        one = command(name)
        known = {opt for parameter in one.params for opt in parameter.opts}
        for line in (one.help or "").splitlines():
            words = line.partition("|")[0].split()
            if words[:2] == ["jobtelemetry", name] and isinstance(one, Operator):
                assert {word for word in words if word.startswith("--")} <= known, line
