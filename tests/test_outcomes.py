"""What a job may say, and what becomes of it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum

import pytest

from jobtelemetry import Cancel, Discard, InvalidReasonError, strict_reasons
from jobtelemetry.outcomes import INVALID_REASON, UNSPECIFIED, Ending, classify, reason_of, verdict_in
from support.odd_jobs import Speechless


class Why(str, Enum):
    NOT_MATCHED = "movie_not_matched"


class Odd(Enum):
    TEXT = "no film"


@pytest.mark.parametrize("verdict", [Cancel, Discard])
def test_a_reason_is_an_identifier(verdict):
    """A text or an enum's value, if it can be a label."""
    assert verdict("movie_not_matched").reason == "movie_not_matched"
    assert verdict(Why.NOT_MATCHED).reason == "movie_not_matched"


@pytest.fixture
def strict() -> Iterator[None]:
    strict_reasons()
    yield
    strict_reasons(False)


#: What is given as a reason -> the reason and the detail that become of it.
MISTAKES = [
    ("", UNSPECIFIED, ""),
    (None, UNSPECIFIED, ""),
    (" \n", UNSPECIFIED, ""),
    ("film 4711 was not found", INVALID_REASON, "film 4711 was not found"),
    ("x" * 65, INVALID_REASON, "x" * 65),
    ("4711", INVALID_REASON, "4711"),
    (3, INVALID_REASON, "3"),
    (Odd.TEXT, INVALID_REASON, "no film"),
    (Speechless(), UNSPECIFIED, ""),
    ("y" * 1_000_000, INVALID_REASON, "y" * 2_000),
]


@pytest.mark.parametrize("verdict", [Cancel, Discard])
@pytest.mark.parametrize(("given", "reason", "detail"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_with_the_reason_is_no_error(verdict, given, reason, detail):
    """The job has said how it ends; free text goes into the detail, and no label grows without bound."""
    assert (verdict(given).reason, verdict(given).detail) == (reason, detail)
    said = verdict(given, "more").detail
    assert said == ": ".join(filter(None, (detail, "more")))[:2_000]
    assert isinstance(verdict_in(verdict(given)), verdict)


@pytest.mark.parametrize("verdict", [Cancel, Discard])
@pytest.mark.parametrize("reason", ["", "film 4711 was not found", "x" * 65, None, 3])
def test_tests_can_be_strict(verdict, reason, strict):
    """On request a mistake is an error at once; the message states the rule and says where the text belongs."""
    with pytest.raises(InvalidReasonError, match=r"begins with a letter or '_', got .*detail=\.\.\."):
        verdict(reason)
    with pytest.raises(InvalidReasonError):
        verdict_in(verdict)
    assert verdict("bad_payload").reason == "bad_payload"


def test_the_environment_can_be_strict():
    """A test of a job needs no instrument() for it."""
    program = "import jobtelemetry; jobtelemetry.Cancel('not matched')"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "JOBTELEMETRY_STRICT_REASONS": "1"},
        capture_output=True,
        text=True,
    )
    assert "InvalidReasonError" in said.stderr


class Demanding(Cancel):
    def __init__(self, film):
        super().__init__("film_gone", film)


class Unchecked(Cancel):
    def __init__(self, reason):
        self.reason = reason


@pytest.mark.parametrize(
    ("given", "label"), [("r" * 1_000_000, INVALID_REASON), ("", UNSPECIFIED), (None, UNSPECIFIED), (7, INVALID_REASON)]
)
def test_a_subclass_that_checks_nothing_makes_no_label_either(given, label):
    """Whoever reads the reason reads one that can be a label."""
    assert reason_of(Unchecked(given)) == label
    assert classify(Ending.CANCELLED, reason=given).reason == label
    assert classify(Ending.DISCARDED, reason=given).error_type == label


class Polite(Cancel):
    def __init__(self):
        super().__init__("polite")


class Liar:
    @property
    def __class__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("result", "kind", "reason"),
    [
        (Cancel, Cancel, UNSPECIFIED),
        (Discard, Discard, UNSPECIFIED),
        (Demanding, Cancel, UNSPECIFIED),
        (Polite, Polite, "polite"),
        (Cancel("sold_out"), Cancel, "sold_out"),
        (None, type(None), ""),
        (int, type(None), ""),
        ("Cancel", type(None), ""),
        (Liar(), type(None), ""),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_class_that_is_returned_is_a_verdict(result, kind, reason):
    """``return Cancel`` means what ``return Cancel(...)`` means; any other result is a result."""
    found = verdict_in(result)
    assert (type(found), getattr(found, "reason", "")) == (kind, reason)


def test_a_class_that_is_raised_is_a_verdict():
    """``raise Cancel`` as well."""
    with pytest.raises(Cancel) as caught:
        raise Cancel
    assert caught.value.reason == UNSPECIFIED


@pytest.mark.parametrize(
    "verdict", [Cancel("not_matched", detail="no such film"), Discard("bad_payload"), Cancel("no such film")]
)
def test_a_verdict_survives_pickling(verdict):
    """RQ pickles what a job returns."""
    again = pickle.loads(pickle.dumps(verdict))
    assert (type(again), again.reason, again.detail) == (type(verdict), verdict.reason, verdict.detail)


def test_an_uninstrumented_worker_gets_a_clear_message():
    """Where nobody understands a cancellation, the failure says so."""
    assert "not instrumented by jobtelemetry" in str(Cancel("not_matched"))
