"""Whatever stands in the execution log, every question is answered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any
from unicodedata import category

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import decode
from jobtelemetry.store.keys import Keys

#: What a field may hold that nobody of ours wrote.
ODD = [
    "",
    "nan",
    "inf",
    "-inf",
    "1e300",
    "1e400",
    "-5",
    "x",
    "0x10",
    "9" * 5_000,
    "²",
    "[]",
    "null",
    "\x00",
    "\x1b[2J",
    "\u202e",
    "é" * 3_000,
]
FIELDS = (
    *("job", "worker", "queue", "state", "execution", "rq_worker", "reason", "error_type", "message", "attempt"),
    *("wait", "duration", "ended", "trace", "source", "attributes"),
)
ATTRIBUTES = [
    "{",
    "[" * 100_000,
    '{"a": [1, {"b": NaN}]}',
    '{"a": 1e400, "b": NaN, "c": ' + "9" * 400 + "}",
    '{"\\ud800": "\\udc00"}',
    "7",
]
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(st.sampled_from([*ODD, *ATTRIBUTES] if name == "attributes" else ODD), st.text(max_size=20))
        for name in FIELDS
    },
)
SOUND = {"job": "j", "worker": "shop.mail", "queue": "q", "state": "completed"}


def is_sound(number: float | None, most: float) -> bool:
    return number is None or (math.isfinite(number) and 0 <= number <= most)


@given(CONTENTS, st.sampled_from(["0-1", "1770000000000-0", "18446744073709551615-1"]))
def test_every_entry_is_typed_and_bounded_or_none(fields: dict[str, str], entry_id: str) -> None:
    """Nothing raises, numbers are finite, texts end, and what is printed is JSON."""
    for given_fields in (fields, SOUND | fields):
        entry = decode(entry_id, given_fields)
        if entry is None:
            continue
        assert is_sound(entry.wait, 1e10)
        assert is_sound(entry.duration, 1e10)
        assert is_sound(entry.ended_at, 253_402_300_799)
        assert is_sound(entry.recorded_at, 253_402_300_799)
        assert 0 <= entry.attempt <= 1e9
        assert len(json.dumps(entry.as_dict(), allow_nan=False)) < 100_000
        assert max(len(entry.worker), len(entry.queue), len(entry.reason), len(entry.error_type)) <= 200


def test_an_entry_without_a_state_of_ours_is_none() -> None:
    """A newer version may write what this one does not know."""
    assert decode("1-0", SOUND | {"state": "hoped"}) is None
    assert decode("1-0", {"state": "completed"}) is None
    assert decode("1-0", SOUND).state is State.COMPLETED


QUESTIONS = (
    ("jobs", "--limit", "0"),
    ("jobs", "--json", "--limit", "0"),
    ("stats", "--since", "1w"),
    ("stats", "--since", "1w", "--json"),
    ("top", "--by", "a"),
    ("top", "--by", "nosuch"),
    ("top", "--by", "worker", "--json"),
    ("compare", "--json"),
    ("show", "j"),
    ("show", "j", "--json"),
    ("tail", "--lines", "0", "--worker", "nosuch"),
    ("jobs", "--worker", "zzz"),
    ("jobs", "--queue", "zzz"),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CONTENTS, min_size=1, max_size=4))
def test_every_question_is_answered(
    cli: Callable[..., Any], server: EmbeddedServer, contents: list[dict[str, str]]
) -> None:
    """No traceback on a log with odd contents, nothing that a terminal would obey, and JSON where it is asked for."""
    connection, keys = server.connection(), Keys()
    connection.flushall()
    for fields in contents:
        for one in (SOUND | fields, {"odd": "", **fields}):
            connection.xadd(keys.log, {name: value.encode("utf-8", "surrogatepass") for name, value in one.items()})
    connection.xadd(keys.log, {**SOUND}, id="18446744073709551615-1")
    for question in QUESTIONS:
        said = cli(*question)
        assert said.code in (0, 1, 2), question
        # A space of another width commands nothing, and is kept as it is.
        odd = [c for c in said.out + said.err if not (c.isprintable() or c in "\n\t" or category(c) == "Zs")]
        assert not odd, (question, odd)
        for line in said.out.splitlines() if "--json" in question else ():
            json.loads(line, parse_constant=pytest.fail)


def test_doctor_names_what_is_passed_over(cli: Callable[..., Any], server: EmbeddedServer) -> None:
    """An entry that is none is no reason to be silent about it."""
    server.connection().xadd(Keys().log, {"state": "hoped"})
    found = [json.loads(line) for line in cli("doctor", "--json").lines]
    assert [one["level"] for one in found if "1 entry of the log passed over" in one["summary"]] == ["warning"]


#: What terminals obey: colours, screens, titles, clipboards, answers typed for the user, links, bidi marks, C1.
ESCAPES = [
    "\x1b[31mred",
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;eHg=\x07",
    "\x1b[6n",
    "\x1bP+q544e\x1b\\\\",
    "\x1b]8;;http://x\x07link",
    "\x9b2J",
    "\x90q\x9c",
    "\u202egnp.exe",
    "\u2066a\u2069",
    "a\rb",
    "a\u2028b",
    "\x08\x08",
    "\x7f",
]


@pytest.mark.parametrize("escape", ESCAPES, ids=ascii)
def test_no_answer_and_no_error_commands_a_terminal(
    cli: Callable[..., Any], record: Callable[..., str], escape: str
) -> None:
    """Neither what jobs put into the log, nor what a user pastes into an option."""
    record(
        State.CANCELLED,
        worker=f"shop.{escape}.mail",
        queue=f"q{escape}",
        reason="x",
        message=escape,
        job_id=f"j{escape}",
    )
    record(State.DISCARD, error_type=f"E{escape}", rq_worker=escape, source=escape, attributes={escape: escape})
    given = (
        *(
            ("jobs", option, escape)
            for option in ("--worker", "--queue", "--state", "--reason", "--attribute", "--since")
        ),
        *(("jobs", option, f"shop{escape}") for option in ("--worker", "--queue")),
        *(("top", "--by", by) for by in (escape, "nosuch", "worker,message", "job")),
        *(("show", job) for job in (escape, f"j{escape}", "j")),
        ("jobs", "--limit", "0"),
        ("jobs", "--json"),
        ("stats",),
        ("stats", "--json"),
        ("stats", "--since", "1h"),
        ("compare", "--worker", escape),
        ("reset", "--worker", escape),
        ("doctor",),
        (escape,),
    )
    for question in given:
        said = cli(*question)
        # A space of another width commands nothing, and is kept as it is.
        odd = [c for c in said.out + said.err if not (c.isprintable() or c in "\n\t" or category(c) == "Zs")]
        assert not odd, (question, odd)
