"""The options that choose executions, and what a user writes in them: ``2h``, ``failure,discard``, ``key=value``."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from jobtelemetry.outcomes import State

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_OTHER_WORDS = {word: state.value for state in State for word in state.row.also_called}


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """``90s``, ``30m``, ``2h``, ``1d12h``, ``1w``, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value).strip().lower().replace(" ", "")
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{value!r} is not a duration; write 90s, 30m, 2h, 1d12h or 1w", param, ctx)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if not 0 < seconds < 10**10:
            self.fail(f"{value!r} must be more than nothing and less than 300 years", param, ctx)
        return seconds


class States(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """One or more of the contract's states, with commas between them."""

    name = "states"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[State]:
        """The states."""
        if isinstance(value, frozenset):
            return value
        return frozenset(self._state(word.strip(), param, ctx) for word in str(value).split(","))

    def _state(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> State:
        try:
            return State(word.lower())
        except ValueError:
            known = [state.value for state in State]
            near = _OTHER_WORDS.get(word.lower()) or next(iter(get_close_matches(word.lower(), known, n=1)), "")
            hint = f"; did you mean {near}?" if near else ""
            return self.fail(f"{word!r} is not a state{hint} There are {', '.join(known)}.", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The states that go on from what is typed."""
        done, comma, word = incomplete.rpartition(",")
        return [CompletionItem(f"{done}{comma}{state}") for state in State if state.value.startswith(word)]


class Pair(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """``film_id=4124``."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Key and value."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not an attribute with its value; write film_id=4124", param, ctx)
        return key, text


class WorkerName(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A worker's label or the end of it; what Redis knows completes it in a shell."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The short names that Redis knows; none where it does not answer."""
        from jobtelemetry.cli.connecting import target
        from jobtelemetry.exporter.formats import short_names
        from jobtelemetry.questions.names import known_series

        try:
            where = target(ctx.params.get("redis_url"))
            known, _ = known_series(where.connection, where.keys)
        except Exception:  # noqa: BLE001 - a shell that completes is no place for errors
            return []
        names = sorted({*short_names(known).values()} - {"all others"})
        return [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]


_FILTERS = {
    "worker": click.option(
        "--worker",
        "-w",
        type=WorkerName(),
        metavar="NAME",
        help="Of this job function or class; its last name will do.",
    ),
    "queue": click.option("--queue", "-q", metavar="QUEUE", help="On this queue."),
    "state": click.option(
        "--state",
        "-s",
        type=States(),
        metavar="STATE[,STATE]",
        help=f"Ended in one of these: {', '.join(state.value for state in State)}.",
    ),
    "reason": click.option("--reason", metavar="REASON", help="Cancelled or discarded for this reason."),
    "error_type": click.option("--error-type", metavar="CLASS", help="Failed with this exception."),
    "source": click.option(
        "--source", metavar="SOURCE", help="From this source, where JOBTELEMETRY_SOURCE_LABEL is on."
    ),
    "attributes": click.option(
        "--attribute",
        "-a",
        "attributes",
        type=Pair(),
        multiple=True,
        metavar="KEY=VALUE",
        help="With this attribute, as set by set_attribute(); may be given more than once.",
    ),
    "job": click.option("--job", "-j", metavar="ID", help="Of this job."),
}


def filters(*names: str) -> Callable[[F], F]:
    """The options that choose executions: those named, or all of them."""

    def decorate(function: F) -> F:
        for name in reversed(names or tuple(_FILTERS)):
            function = _FILTERS[name](function)
        return function

    return decorate


def json_option(function: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line; Unix times, seconds.")(
        function
    )


def since_option(help: str) -> Callable[[F], F]:
    """``--since``."""
    return click.option("--since", type=Duration(), metavar="DURATION", help=help)
