"""What a job may say, and what becomes of it."""

from __future__ import annotations

import pickle
from enum import Enum

import pytest

from jobtelemetry import Cancel, Discard, InvalidReasonError


class Why(str, Enum):
    NOT_MATCHED = "movie_not_matched"


@pytest.mark.parametrize("verdict", [Cancel, Discard])
def test_a_reason_is_an_identifier(verdict):
    """A text or an enum's value, if it can be a label."""
    assert verdict("movie_not_matched").reason == "movie_not_matched"
    assert verdict(Why.NOT_MATCHED).reason == "movie_not_matched"


@pytest.mark.parametrize("verdict", [Cancel, Discard])
@pytest.mark.parametrize("reason", ["", "film 4711 was not found", "x" * 65, None, 3])
def test_free_text_is_refused_at_the_door(verdict, reason):
    """A label with free text would grow without bound; the message says where the text belongs."""
    with pytest.raises(InvalidReasonError, match=r"detail=\.\.\."):
        verdict(reason)


@pytest.mark.parametrize("verdict", [Cancel("not_matched", detail="no such film"), Discard("bad_payload")])
def test_a_verdict_survives_pickling(verdict):
    """RQ pickles what a job returns."""
    again = pickle.loads(pickle.dumps(verdict))
    assert (type(again), again.reason, again.detail) == (type(verdict), verdict.reason, verdict.detail)


def test_an_uninstrumented_worker_gets_a_clear_message():
    """Where nobody understands a cancellation, the failure says so."""
    assert "not instrumented by jobtelemetry" in str(Cancel("not_matched"))
