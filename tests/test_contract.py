"""The metric contract itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobtelemetry
from jobtelemetry import contract
from jobtelemetry.config import Config
from jobtelemetry.contract import FAMILIES, Family, Kind, le
from jobtelemetry.outcomes import State
from jobtelemetry.sinks import Sinks, reporting_sinks

EVERY = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def test_every_family_of_the_module_is_exported() -> None:
    """A family that is declared is in the list that everything is made from, once."""
    declared = [value for value in vars(contract).values() if isinstance(value, Family)]
    assert list(FAMILIES) == declared
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@EVERY
def test_names_follow_prometheus_rules(family: Family) -> None:
    """Names have the prefix, only counters end in _total, and moments and durations are in seconds."""
    assert re.fullmatch(r"jobtelemetry_[a-z][a-z_]*[a-z]", family.name)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert not re.search(r"_(bucket|sum|count|created|milliseconds|minutes)$", family.name)
    assert ("timestamp" not in family.name) or family.name.endswith("_timestamp_seconds")


@EVERY
def test_help_is_one_sentence(family: Family) -> None:
    """The help of every family is one sentence on one line."""
    assert family.help[0].isupper()
    assert family.help.endswith(".")
    assert "\n" not in family.help


@EVERY
def test_labels_are_identifiers(family: Family) -> None:
    """Label names are unique, and none is reserved by Prometheus or by the exporter."""
    assert len(set(family.labels)) == len(family.labels)
    assert all(re.fullmatch(r"[a-z][a-z_]*", label) for label in family.labels)
    assert not {"le", "quantile", "job", "instance", "source"} & set(family.labels)


@EVERY
def test_only_histograms_have_buckets(family: Family) -> None:
    """A histogram has ascending positive bounds without +Inf, and nothing else has any."""
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert list(family.buckets) == sorted(set(family.buckets))
    assert all(0 < bound < float("inf") for bound in family.buckets)
    assert not family.exemplars or family.kind is not Kind.GAUGE


def test_the_old_tables_columns_are_there() -> None:
    """The states are the contract's words: the sum over them is the old table's query."""
    assert contract.JOB_EXECUTIONS.labels == ("worker", "queue", "state")
    assert {str(state) for state in State} == {"completed", "cancelled", "failure", "discard", "snoozed", "stopped"}


def test_hooks_are_those_of_the_source() -> None:
    """What can be in the label hook are the names of all fences, of errors that are noted, and of all sinks."""
    sources = [path.read_text("utf-8") for path in Path(jobtelemetry.__file__).parent.rglob("*.py")]
    named = {name for source in sources for name in re.findall(r'(?:\.fence|note_error)\(\s*"(\w+)"', source)}
    sinks = Sinks(reporting_sinks(Config()), lambda hook, error: None).hooks
    assert sorted(contract.HOOKS) == sorted({*named, *sinks})


@given(value=st.floats(0, 1e6), buckets=st.lists(st.floats(0.001, 1e5), min_size=1, unique=True).map(sorted))
def test_le_is_the_smallest_bound_that_holds_the_value(value: float, buckets: list[float]) -> None:
    """An observation falls into the first bucket whose upper bound is not below it."""
    bound = float(le(value, tuple(buckets)))
    assert value <= bound
    assert not any(value <= smaller < bound for smaller in buckets)


@pytest.mark.parametrize("bound", [*contract.DURATION_BUCKETS, *contract.WAIT_BUCKETS])
def test_le_of_a_bound_is_its_own_text(bound: float) -> None:
    """A bucket's label is found again from its value, so that stored counts can be read back."""
    assert le(bound, tuple(sorted({*contract.DURATION_BUCKETS, *contract.WAIT_BUCKETS}))) == repr(bound)
    assert float(repr(bound)) == bound
