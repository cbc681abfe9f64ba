"""Which endings Sentry is told of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobtelemetry
from jobtelemetry import ConfigError
from jobtelemetry.config import Config
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.options import REPORTS, options_of
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.sinks.policy import ReportPolicy


def an_event(state: State, **facts: Any) -> ExecutionEvent:
    return ExecutionEvent("e1", "j1", "shop.jobs.mail", "default", "w1", Outcome(state), **facts)


FACTS = st.fixed_dictionaries(
    {"attempt": st.integers(0, 9), "rate_limited": st.booleans(), "report": st.sampled_from(["", *REPORTS])}
)


@given(state=st.sampled_from([state for state in State if not state.failed]), facts=FACTS)
def test_what_did_not_fail_is_never_reported(state: State, facts: dict[str, Any]) -> None:
    """Completed, cancelled, snoozed and stopped never reach Sentry, whatever else is said."""
    assert ReportPolicy()(an_event(state, **facts)) is None


@given(FACTS)
def test_a_discard_is_an_error_unless_silenced(facts: dict[str, Any]) -> None:
    """What will not run again is always an error, unless the job is never reported."""
    expected = None if facts["report"] == "never" else "error"
    assert ReportPolicy()(an_event(State.DISCARD, **facts)) == expected


@pytest.mark.parametrize(("attempt", "level"), [(1, None), (2, None), (3, "error"), (4, "error"), (0, "error")])
def test_a_failure_is_reported_when_it_persists(attempt: int, level: str | None) -> None:
    """A failure that RQ will retry is reported from the third attempt on, and where nobody knows which it is."""
    assert ReportPolicy()(an_event(State.FAILURE, attempt=attempt)) == level


@given(attempts=st.integers(1, 9), attempt=st.integers(1, 9))
def test_the_number_of_attempts_is_a_setting(attempts: int, attempt: int) -> None:
    """The first reported attempt is the one that is set."""
    level = ReportPolicy(attempts)(an_event(State.FAILURE, attempt=attempt))
    assert level == ("error" if attempt >= attempts else None)


@pytest.mark.parametrize(
    ("report", "level"), [("", "warning"), ("always", "warning"), ("discard", None), ("never", None)]
)
def test_a_rate_limit_is_a_warning_at_once(report: str, level: str | None) -> None:
    """A rate limit with retries left is a warning from the first attempt on, unless the job says otherwise."""
    assert ReportPolicy()(an_event(State.FAILURE, attempt=1, rate_limited=True, report=report)) == level


def test_the_setting_is_stronger_than_the_decorator() -> None:
    """An operator's word about a job goes before its author's."""
    policy = ReportPolicy(overrides={"shop.jobs.mail": "always"})
    assert policy(an_event(State.FAILURE, attempt=1, report="never")) == "error"


def test_the_settings_are_read_from_the_environment() -> None:
    """Both variables are read, with spaces and a comma at the end forgiven."""
    config = Config.from_env(
        {"JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS": "5", "JOBTELEMETRY_SENTRY_REPORTS": "a.b=never, c=always,"}
    )
    assert (config.sentry_after_attempts, config.sentry_reports) == (5, (("a.b", "never"), ("c", "always")))


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS", "0"),
        ("JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS", "often"),
        ("JOBTELEMETRY_SENTRY_REPORTS", "a.b"),
        ("JOBTELEMETRY_SENTRY_REPORTS", "a.b=sometimes"),
        ("JOBTELEMETRY_SENTRY_REPORTS", "=never"),
    ],
)
def test_a_setting_without_sense_is_refused(variable: str, text: str) -> None:
    """The message names the variable."""
    with pytest.raises(ConfigError, match=variable):
        Config.from_env({variable: text})


def test_a_decorator_may_say_name_report_or_both() -> None:
    """Each is optional, not both, and a wrong word is refused where it is written."""

    @jobtelemetry.job(report="never")
    def quiet() -> None: ...

    @jobtelemetry.job(name="mail", report="always")
    def loud() -> None: ...

    assert (options_of(quiet).name, options_of(quiet).report) == ("", "never")
    assert (options_of(loud).name, options_of(loud).report) == ("mail", "always")
    with pytest.raises(ConfigError, match="sometimes"):
        jobtelemetry.job(report="sometimes")
    with pytest.raises(ConfigError, match=r"name=\.\.\., report=\.\.\. or max_attempts="):
        jobtelemetry.job()


@given(state=st.sampled_from(State), facts=FACTS, reason=st.text(max_size=9), seconds=st.floats(0, 1e9))
def test_an_event_survives_its_way_to_another_process(
    state: State, facts: dict[str, Any], reason: str, seconds: float
) -> None:
    """What a work-horse tells its parent of an ending is the whole event, but for the exception."""
    event = ExecutionEvent(
        "e1", "j1", "w", "q", "rq", Outcome(state, reason), duration=seconds, attributes={"n": 1}, **facts
    )
    assert ExecutionEvent.from_dict(event.to_dict()) == event
