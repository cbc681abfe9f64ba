"""Whatever somebody else's objects say of themselves becomes text that can be written anywhere, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rq.timeouts import JobTimeoutException

from jobtelemetry.text import attribute, class_name, text_of, writable
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
