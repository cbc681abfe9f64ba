"""Whatever somebody else's objects say of themselves becomes text that can be written anywhere, or nothing."""

from __future__ import annotations

import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rq.timeouts import JobTimeoutException

from jobtelemetry.attributes import LONGEST_KEY, receive, set_attribute, stop_receiving
from jobtelemetry.text import (
    LONGEST_LABEL,
    attribute,
    class_name,
    json_text,
    label_text,
    log_lines,
    log_text,
    page_text,
    sentry_text,
    span_text,
    terminal_text,
    text_of,
    writable,
)
from support.odd_jobs import ERRORS, HALF, Masked, Secretive, Speechless, Wordless

#: All texts that Python has, those with lone surrogates included.
ANY_TEXT = st.text(st.characters(exclude_categories=()))


class Late:
    """Runs out of time whenever it is looked at."""

    def __str__(self) -> str:
        raise JobTimeoutException("now")

    @property
    def exceptions(self) -> object:
        raise JobTimeoutException("now")


class Interrupted:
    """Is interrupted whenever it is looked at."""

    def __str__(self) -> str:
        raise KeyboardInterrupt

    @property
    def exceptions(self) -> object:
        raise KeyboardInterrupt


@given(ANY_TEXT)
def test_every_text_can_be_written(text):
    """Whatever the text, the result is UTF-8, and a text that was already is left alone."""
    result = writable(text)
    encoded = result.encode()
    try:
        assert encoded == text.encode()
    except UnicodeEncodeError:
        assert "\\ud" in result
    assert text_of(text) == writable(result) == result


def test_half_a_character_is_shown_as_its_escape():
    """What UTF-8 does not have stays recognisable, between what it has."""
    assert writable(f"é{HALF}€") == "éx\\udcffy€"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (7, "7"),
        (b"x", "b'x'"),
        (ValueError("no such film"), "no such film"),
        (ValueError(HALF), "x\\udcffy"),
        (Speechless(), ""),
        (Wordless("x"), ""),
        (10**5000, ""),
    ],
    ids=["none", "number", "bytes", "error", "half a character", "raises", "no text", "too many digits"],
)
def test_everything_has_a_text_or_none(value, text):
    """A value's own text; nothing where asking for it raises."""
    assert text_of(value) == text


@pytest.mark.parametrize("error", [*ERRORS.values(), ValueError, KeyboardInterrupt], ids=repr)
def test_every_class_has_a_name(error):
    """A class's real name, whatever it says of itself."""
    assert class_name(error("x")) == type.__dict__["__name__"].__get__(error)


def test_an_attribute_that_raises_is_one_that_is_not_there():
    """Both give the default."""
    assert attribute(ValueError("x"), "args") == ("x",)
    assert attribute(ValueError("x"), "exceptions") is None
    assert attribute(Secretive("x"), "exceptions", ()) == ()
    assert attribute(Masked, "__jobtelemetry__", "none") == "none"


@pytest.mark.parametrize(("value", "error"), [(Late(), JobTimeoutException), (Interrupted(), KeyboardInterrupt)])
def test_what_is_meant_for_others_goes_through(value, error):
    """A time limit of RQ's, or an interrupt, may strike anywhere, and is not ours to swallow."""
    with pytest.raises(error):
        text_of(value)
    with pytest.raises(error):
        attribute(value, "exceptions")


#: What terminals, viewers and loggers obey, put between anything.
COMMANDS = [
    "\x1b[31m",
    "\x9b2J",
    "\x1b]0;title\x07",
    "\u202e",
    "\u2066",
    "\u2028",
    "\u200b",
    "\ufeff",
    "\x00",
    "\r\n",
    "\x7f",
]
HOSTILE = st.lists(
    st.one_of(ANY_TEXT, st.sampled_from([*COMMANDS, HALF, "\t", "=", "'", "<b>", "a" * 300])), max_size=8
).map("".join)


def obeyed(text: str, keep: str = "") -> list[str]:
    """The characters that something would obey."""
    return [c for c in text if not c.isprintable() and c not in keep and unicodedata.category(c) != "Zs"]


@given(HOSTILE)
def test_a_text_for_a_terminal_is_one_harmless_line(text):
    """Nothing that a terminal would obey, and as many characters as there were."""
    shown = terminal_text(text)
    assert shown.isprintable()
    assert len(shown) == len(text)


@given(HOSTILE)
def test_a_text_in_a_log_is_one_harmless_word(text):
    """A value has no bare space or equals sign, so that a line can be taken apart again."""
    shown = log_text(text)
    assert shown
    assert not obeyed(shown)
    assert shown[0] in "'\"" or not set(shown) & set(" =")
    assert len(log_text(text * 100)) < 30_000


@given(HOSTILE)
def test_a_traceback_keeps_its_lines(text):
    """Lines and tabs stay, and nothing else that is obeyed."""
    shown = log_lines(text)
    assert not obeyed(shown, "\n\t")
    assert shown.count("\n") == text.count("\n")
    assert len(log_lines("x" * 1_000_000)) < 100_000


@given(HOSTILE)
def test_a_label_is_short_and_stays_what_it_is(text):
    """A label of a label is the label."""
    label = label_text(text)
    assert len(label) <= LONGEST_LABEL
    assert not obeyed(label)
    assert label_text(label) == label
    assert label.encode().decode() == label


def test_two_long_texts_are_two_labels():
    """What is cut off shows as a hash of the whole."""
    one, other = "W" * 1_000_000 + ".x", "W" * 1_000_000 + ".y"
    assert label_text(one) != label_text(other)
    assert label_text(one)[:100] == label_text(other)[:100] == "W" * 100
    assert label_text("cinema.jobs.sync") == "cinema.jobs.sync"
    assert class_name(type("E" * 1_000_000, (Exception,), {})()) == label_text("E" * 1_000_000)


@given(HOSTILE)
def test_what_goes_elsewhere_is_bounded_and_can_be_sent(text):
    """Pages, Sentry and spans get UTF-8 of a length that they keep."""
    assert not obeyed(page_text(text), "\t\n")
    assert sentry_text(text).isprintable()
    assert len(sentry_text(text)) <= 200
    assert len(span_text(text * 100)) <= 2_000
    assert (page_text(text) + sentry_text(text) + span_text(text)).encode() is not None


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(HOSTILE, inner, max_size=4)),
    max_leaves=12,
)


def nearest(value):
    """The value with ``None`` for what JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [nearest(one) for one in value]
    if isinstance(value, dict):
        return {key: nearest(one) for key, one in value.items()}
    return value


def no_constant(name):
    raise AssertionError(name)


@given(HOSTILE, st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE, st.builds(object)))
def test_an_attribute_can_be_kept_anywhere(key, value):
    """Whatever a job sets, JSON has a word for it, and it ends."""
    received = {}
    token = receive(received.__setitem__)
    try:
        set_attribute(key, value)
    finally:
        stop_receiving(token)
    ((kept, found),) = received.items()
    assert len(kept) <= LONGEST_KEY
    assert len(json.dumps({kept: found}, allow_nan=False)) < 10_000
    assert kept.encode() is not None
    if isinstance(value, float) and math.isfinite(value):
        assert found == value


@given(VALUES, st.booleans())
def test_json_is_json_and_loses_nothing(value, ascii_only):
    """One line, harmless on a terminal, read back as it was; a number that is none is null."""
    line = json_text(value, ascii_only=ascii_only)
    assert not obeyed(line)
    assert line.isascii() or not ascii_only
    assert line.encode()
    again = json.loads(line, parse_constant=no_constant)
    if not _has_surrogates(value):
        assert again == nearest(value)


def _has_surrogates(value):
    return any("\ud800" <= c <= "\udfff" for c in repr_text(value))


def repr_text(value):
    if isinstance(value, dict):
        return "".join(map(repr_text, [*value, *value.values()]))
    return "".join(map(repr_text, value)) if isinstance(value, list) else str(value)


def test_json_of_what_is_none():
    """Objects, circles, depths and endless integers become something."""
    circle: list = []
    circle.append(circle)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for odd in (circle, deep, {1: {2, 3}, (4, 5): object()}, 10**5000, {float("nan"): Speechless()}):
        json.loads(json_text(odd), parse_constant=no_constant)
