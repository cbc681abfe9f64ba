"""The figures that are read from a metrics page."""

import pytest

from jobtelemetry.demo import summary
from jobtelemetry.outcomes import State

PAGE = """
# TYPE jobtelemetry_up gauge
jobtelemetry_up 1
# TYPE jobtelemetry_job_executions_total counter
jobtelemetry_job_executions_total{worker="a.Job",queue="one",state="completed"} 6
jobtelemetry_job_executions_total{worker="a.Job",queue="two",state="completed"} 1
jobtelemetry_job_executions_total{worker="a.Job",queue="one",state="cancelled"} 2
jobtelemetry_job_executions_total{worker="a.Job",queue="one",state="discard"} 1
jobtelemetry_job_executions_total{worker="b.Job",queue="one",state="completed"} 0
# TYPE jobtelemetry_job_cancellations_total counter
jobtelemetry_job_cancellations_total{worker="a.Job",queue="one",reason="movie_not_matched"} 2
# TYPE jobtelemetry_jobs_enqueued_total counter
jobtelemetry_jobs_enqueued_total{worker="a.Job",queue="one"} 11
# TYPE jobtelemetry_job_duration_seconds histogram
jobtelemetry_job_duration_seconds_bucket{worker="a.Job",queue="one",state="completed",le="0.1"} 5
jobtelemetry_job_duration_seconds_bucket{worker="a.Job",queue="one",state="completed",le="0.5"} 9
jobtelemetry_job_duration_seconds_bucket{worker="a.Job",queue="one",state="completed",le="+Inf"} 10
jobtelemetry_job_duration_seconds_sum{worker="a.Job",queue="one",state="completed"} 2
jobtelemetry_job_duration_seconds_count{worker="a.Job",queue="one",state="completed"} 10
# TYPE jobtelemetry_queue_jobs gauge
jobtelemetry_queue_jobs{queue="one",status="queued"} 3
jobtelemetry_queue_jobs{queue="one",status="finished"} 7
# TYPE jobtelemetry_executions_running gauge
jobtelemetry_executions_running{worker="a.Job",queue="one"} 1
# TYPE jobtelemetry_unrecorded_executions gauge
jobtelemetry_unrecorded_executions 4
"""


def test_sums_over_queues():
    """A worker's executions are summed over its queues, state by state."""
    figures = summary.read(PAGE).workers["a.Job"]
    assert figures.states == {State.COMPLETED: 7, State.CANCELLED: 2, State.DISCARD: 1}
    assert figures.executions == 10
    assert figures.enqueued == 11


def test_ratios():
    """Cancelled executions are no part of the success ratio, discarded ones no part of the match ratio."""
    figures = summary.read(PAGE).workers["a.Job"]
    assert figures.success_ratio == 7 / 8
    assert figures.match_ratio == 7 / 9


def test_nothing_to_divide():
    """A worker that has not ended anything has no ratio and no duration."""
    figures = summary.read(PAGE).workers["b.Job"]
    assert figures.success_ratio is None
    assert figures.match_ratio is None
    assert figures.run_time_quantile(0.95) is None


@pytest.mark.parametrize(("quantile", "seconds"), [(0.25, 0.075), (0.5, 0.1), (0.7, 0.375), (0.99, 14400)])
def test_quantiles(quantile, seconds):
    """A quantile lies straight between two bounds of the contract, and at the last finite one if it is beyond."""
    assert summary.read(PAGE).workers["a.Job"].run_time_quantile(quantile) == pytest.approx(seconds)


def test_what_is_left():
    """Jobs that RQ still has to run count as pending, finished ones do not."""
    read = summary.read(PAGE)
    assert (read.pending, read.running, read.unrecorded, read.up) == (3, 1, 4, True)
    assert read.cancellations == {("a.Job", "movie_not_matched"): 2}
    assert not read.idle


def test_idle():
    """Nothing is left to do once executions have ended and none is pending or running."""
    quiet = PAGE.replace('status="queued"} 3', 'status="queued"} 0').replace(
        'jobtelemetry_executions_running{worker="a.Job",queue="one"} 1', ""
    )
    assert summary.read(quiet).idle
    assert not summary.read("jobtelemetry_up 1\n").idle
