"""Families that are there only where something is known, and those that say whether the numbers can be believed."""

from __future__ import annotations

from jobtelemetry.exporter import families
from jobtelemetry.exporter.families import Scrape
from jobtelemetry.store.snapshot import Counter, QueueState, RQWorkerState, Series, Snapshot, WrongClock

NOW = 1_800_000_000.0
_LABELS = Series("cinema.jobs.ask", "default")


def shown(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """Sample name and label values -> value."""
    return {
        (sample.name.removeprefix("jobtelemetry_"), *sample.labels.values()): sample.value
        for metric in families.build([Scrape(snapshot, 0.1)])
        for sample in metric.samples
    }


def test_what_is_not_known_is_absent() -> None:
    """A snapshot that knows nothing of losses, skew, births and blocked jobs shows none, and no invented 0."""
    samples = shown(Snapshot(NOW, queues=(QueueState("default"),), rq_workers=(RQWorkerState("a", ("default",)),)))
    names = {name for name, *_ in samples}
    assert not names & {
        "counts_lost_timestamp_seconds",
        "generation_started_timestamp_seconds",
        "clock_skew_seconds",
        "queue_blocked_jobs",
        "rq_worker_newest_birth_timestamp_seconds",
    }
    assert samples["counts_lost_executions",] == 0
    assert samples["accounts_difference_executions",] == 0
    assert samples["values_rejected",] == 0


def test_what_is_known_is_shown() -> None:
    """Losses with their moment, the difference of the accounts with its sign, skew, and blocked jobs by queue."""
    samples = shown(
        Snapshot(
            NOW,
            queues=(QueueState("default", blocked=2), QueueState("mail", blocked=0)),
            rate_limited_executions={_LABELS: Counter(3, NOW - 9)},
            generation_started=NOW - 60,
            counts_lost_at=NOW - 60,
            counts_lost=41,
            accounts_difference=-2,
            rejected=1,
            clocks=(WrongClock("producer", "7", "host", -180.0), WrongClock("rq_worker", "a", "b", 60.0)),
        )
    )
    assert samples[("job_rate_limited_total", *_LABELS[:2])] == 3
    assert samples[("job_rate_limited_created", *_LABELS[:2])] == NOW - 9
    assert samples["counts_lost_timestamp_seconds",] == samples["generation_started_timestamp_seconds",] == NOW - 60
    assert samples["counts_lost_executions",] == 41
    assert samples["accounts_difference_executions",] == -2
    assert samples["values_rejected",] == 1
    assert samples["clock_skew_seconds",] == -180
    assert (samples["queue_blocked_jobs", "default"], samples["queue_blocked_jobs", "mail"]) == (2, 0)


def test_an_rq_worker_with_several_queues_is_one_process() -> None:
    """The number of RQ workers is true, whatever they listen on; each queue has its youngest one's birth."""
    samples = shown(
        Snapshot(
            NOW,
            rq_workers=(
                RQWorkerState("a", ("high", "low"), "busy", birth=NOW - 50),
                RQWorkerState("b", ("low",), "idle", birth=NOW - 5),
                RQWorkerState("c", ("low",), ""),
            ),
        )
    )
    statuses = {labels[0]: value for (name, *labels), value in samples.items() if name == "rq_worker_processes"}
    assert statuses == {"started": 1, "idle": 1, "busy": 1, "suspended": 0}
    assert samples["rq_worker_newest_birth_timestamp_seconds", "high"] == NOW - 50
    assert samples["rq_worker_newest_birth_timestamp_seconds", "low"] == NOW - 5


def test_a_reconciler_is_shown_where_there_is_one() -> None:
    """Whether it can write is 1 or 0, and nothing is said where no exporter tries."""

    def told(reconciler: bool | None) -> list[float]:
        metrics = families.about([Scrape(None, 0.1, reconciler)])
        return [s.value for metric in metrics if metric.name == "jobtelemetry_reconciler_up" for s in metric.samples]

    assert [told(True), told(False), told(None)] == [[1.0], [0.0], []]
