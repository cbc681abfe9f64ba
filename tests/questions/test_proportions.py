"""The interval for the difference of two proportions, against published figures and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.questions.proportions import Proportion, difference, wilson


@st.composite
def proportions(draw: st.DrawFn) -> Proportion:
    """``hits`` of ``n``, at least one."""
    n = draw(st.integers(1, 100_000))
    return Proportion(draw(st.integers(0, n)), n)


@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_it_is_what_newcombe_published(
    after: tuple[int, int], before: tuple[int, int], low: float, high: float
) -> None:
    """The intervals are those of table II of Newcombe (1998), method 10, to its four decimals."""
    found = difference(Proportion(*before), Proportion(*after))
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_wilson_is_what_is_published() -> None:
    """81 of 263 is 0.2553 to 0.3662, and 0 of 20 is 0 to 0.1611 (Newcombe 1998, the companion paper)."""
    assert wilson(Proportion(81, 263)) == (pytest.approx(0.2553, abs=6e-5), pytest.approx(0.3662, abs=6e-5))
    assert wilson(Proportion(0, 20)) == (0.0, pytest.approx(0.1611, abs=6e-5))


@given(before=proportions(), after=proportions(), confidence=st.floats(0.5, 0.999))
def test_the_interval_holds_the_difference(before: Proportion, after: Proportion, confidence: float) -> None:
    """The interval is around the observed difference and never leaves -1 to 1."""
    found = difference(before, after, confidence)
    assert found is not None
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


@given(before=proportions(), after=proportions())
def test_the_other_way_round_it_is_the_mirror_image(before: Proportion, after: Proportion) -> None:
    """Exchanging before and after changes the signs and nothing else."""
    there, back = difference(before, after), difference(after, before)
    assert there is not None
    assert back is not None
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


@given(one=proportions())
def test_no_change_is_never_reported_as_one(one: Proportion) -> None:
    """Two equal proportions do not differ, however many there were."""
    found = difference(one, one)
    assert found is not None
    assert not found.certain


@given(one=proportions(), other=proportions(), times=st.integers(2, 50))
def test_more_observations_make_it_narrower(one: Proportion, other: Proportion, times: int) -> None:
    """The same ratios from more executions say more."""
    few = difference(one, other)
    many = difference(Proportion(one.hits * times, one.n * times), Proportion(other.hits * times, other.n * times))
    assert few is not None
    assert many is not None
    assert many.high - many.low <= few.high - few.low + 1e-12


def test_nothing_has_no_difference() -> None:
    """Where one stretch had no execution there is nothing to say, and nothing impossible is accepted."""
    assert difference(Proportion(0, 0), Proportion(1, 2)) is None
    with pytest.raises(ValueError, match="0 <= hits <= n"):
        Proportion(3, 2)
