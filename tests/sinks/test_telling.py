"""The one loop that tells: what each kind of sink is asked, and that none can harm the others."""

from __future__ import annotations

import pytest

from jobtelemetry import State
from jobtelemetry.config import Config
from jobtelemetry.sinks import Sinks, reporting_sinks
from sinks.test_policy import an_event

EVENT = an_event(State.DISCARD)


class Plain:
    def __init__(self, said):
        self.said = said

    def __call__(self, event):
        self.said.append(("plain", event))


class Broken:
    """Raises whatever it is asked."""

    def __init__(self, error):
        self.error = error

    def __call__(self, event):
        raise self.error

    def needs_parent(self, event):
        raise self.error

    def enter_horse(self):
        raise self.error

    def flush(self):
        raise self.error


class Whole:
    """Has everything that a sink may have."""

    def __init__(self, said, needs=False):
        self.said, self.needs = said, needs

    def __call__(self, event):
        self.said.append(("whole", event))

    def needs_parent(self, event):
        return self.needs

    def enter_horse(self):
        self.said.append("entered")

    def flush(self):
        self.said.append("flushed")


@pytest.fixture
def said():
    """What the sinks were told, in order."""
    return []


def test_every_sink_is_told_though_one_is_broken(said):
    """The error is handed over with the hook's name, and the others hear of the ending."""
    errors = []
    sinks = Sinks([Plain(said), Broken(ValueError("no")), Whole(said)], lambda *error: errors.append(error))
    sinks.tell(EVENT)
    assert said == [("plain", EVENT), ("whole", EVENT)]
    sinks.enter_horse()
    sinks.flush()
    assert said[2:] == ["entered", "flushed"]
    assert sinks.needs_parent(EVENT) is False
    assert [(hook, type(error)) for hook, error in errors] == [("sink_broken", ValueError)] * 4
    assert sinks.hooks == ("sink_plain", "sink_broken", "sink_whole")


def test_a_parent_tells_only_those_that_could_not_send_it_from_the_horse(said):
    """A plain sink was told in the work-horse; the log would have everything twice."""
    sinks = Sinks([Plain(said), Whole(said, needs=True)], lambda *error: pytest.fail(str(error)))
    assert sinks.needs_parent(EVENT)
    sinks.tell_for_horse(EVENT)
    assert said == [("whole", EVENT)]


def test_an_exception_that_is_not_the_sinks_passes(said):
    """Whoever tells may raise it again: a timeout that struck while a sink was told is the job's."""

    def note(hook, error):
        if isinstance(error, TimeoutError):
            raise error

    sinks = Sinks([Broken(TimeoutError("the job's time is up")), Plain(said)], note)
    with pytest.raises(TimeoutError, match="the job's time is up"):
        sinks.tell(EVENT)
    assert said == []
    Sinks([Broken(ValueError()), Plain(said)], note).tell(EVENT)
    assert said == [("plain", EVENT)]


def test_what_interrupts_a_process_passes(said):
    """SystemExit and KeyboardInterrupt are nobody's error."""
    with pytest.raises(SystemExit):
        Sinks([Broken(SystemExit())], lambda *error: None).tell(EVENT)


def test_our_own_sinks_say_what_they_need():
    """The log needs nothing; Sentry sends in the background and may be known to the parent alone."""
    sinks = Sinks(reporting_sinks(Config()), lambda *error: pytest.fail(str(error)))
    assert sinks.hooks == ("sink_logsink", "sink_sentrysink", "sink_tracingsink")
    assert sinks.needs_parent(EVENT), "no Sentry is here, and a discard is to be reported"
    assert not sinks.needs_parent(an_event(State.COMPLETED))
