"""Labels as hash fields, and observations as buckets: what is algebra holds for all values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.contract import DURATION_BUCKETS, le
from jobtelemetry.outcomes import Ending, State, classify
from jobtelemetry.store.keys import decode, encode


@given(st.lists(st.text(), min_size=1))
def test_what_is_encoded_can_be_decoded(parts):
    """Any labels survive being a hash field."""
    assert decode(encode(parts)) == tuple(parts)


@given(st.lists(st.text(), min_size=2, max_size=4), st.lists(st.text(), min_size=2, max_size=4))
def test_different_labels_are_different_fields(one, other):
    """Two label sets never share a field."""
    assert (encode(one) == encode(other)) == (one == other)


@given(st.floats(min_value=0, allow_nan=False))
def test_a_value_is_in_the_smallest_bucket_that_holds_it(value):
    """The bound is not below the value, and the bound before it is."""
    bound = float(le(value, DURATION_BUCKETS).replace("+Inf", "inf"))
    assert value <= bound
    assert all(smaller < value for smaller in DURATION_BUCKETS if smaller < bound)


@given(st.sampled_from(Ending), st.booleans(), st.text(max_size=5), st.text(max_size=5))
def test_every_ending_has_a_state(ending, will_retry, reason, error_type):
    """Whatever happened is judged, with an error type exactly where it failed."""
    outcome = classify(ending, will_retry=will_retry, reason=reason, error_type=error_type)
    assert isinstance(outcome.state, State)
    if outcome.state is State.FAILURE:
        assert will_retry
        assert outcome.error_type
    if not outcome.state.failed:
        assert not outcome.error_type
