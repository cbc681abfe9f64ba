"""Reading: what changed since the last look, and whether the books agree, as a snapshot.

A :class:`Reader` remembers every label set that it has read and asks Redis for those that changed since: an idle one
costs nothing, and no read holds Redis for longer than one page. Any number of readers do so independently; one that
starts reads everything page by page. Read-only, on RQ's data too (a registry's own ``count`` would move jobs).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from jobtelemetry.contract import HOOKS
from jobtelemetry.errors import StoreError
from jobtelemetry.outcomes import State
from jobtelemetry.store import books, decode, deploys
from jobtelemetry.store.accounts import Accounts
from jobtelemetry.store.clocks import wrong_clocks
from jobtelemetry.store.decode import Rejected, count_of, moment_of, running_entries
from jobtelemetry.store.idle import Idleness
from jobtelemetry.store.keys import LAYOUT, Keys
from jobtelemetry.store.keys import decode as parts_of
from jobtelemetry.store.own_read import OwnReader
from jobtelemetry.store.record import Known, text
from jobtelemetry.store.rq_state import Discovery, Queues, RQWorkers
from jobtelemetry.store.scripted import Scripted
from jobtelemetry.store.snapshot import (
    Amount,
    Counter,
    Deploy,
    Histogram,
    LabelSet,
    Merged,
    Progress,
    RQWorkerState,
    Series,
    Snapshot,
)

#: Label sets in one page: less than a millisecond of Redis's time.
PAGE = 50
#: Looks after which a store that never stands still is taken as it is, without a verdict on its books.
_MOST_LOOKS = 5
#: What is noticed where numbers went back, and not only away.
_GO_BACK = ("an older state came back", "the numbers were replaced by others")
#: RQ workers: when each was born, and what RQ has counted for it.
_Counts = dict[str, "tuple[float | None, int]"]

#: Names under which the scripts count what a full store dropped.
_DROPPED = {
    "executions": "jobtelemetry_job_executions_total",
    "cancellations": "jobtelemetry_job_cancellations_total",
    "errors": "jobtelemetry_job_errors_total",
}


def read_snapshot(connection: Any, keys: Keys) -> Snapshot:
    """Read everything that is exported, once and from nothing; who reads again keeps a :class:`Reader`.

    Raises:
        StoreError: The store has another layout.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    return Reader(connection, keys).read()


@dataclass(frozen=True)
class _Look:
    """One moment of the books, and the label sets that changed since the last page."""

    taken_at: float
    meta: Mapping[str, str]
    sets: int
    changed: list[tuple[str, int]]
    replaced: bool = False

    @property
    def change(self) -> int:
        return self.number("change")

    def number(self, field: str) -> int:
        return count_of(self.meta.get(field, "0")) or 0


class Reader:
    """Reads snapshots, each from what changed since the one before. One read at a time; others wait.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
    """

    def __init__(self, connection: Any, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._lock = threading.Lock()
        self._scripted = Scripted(connection)
        self._accounts = Accounts(connection, keys, self._scripted)
        self._discovery = Discovery()
        self._queues = Queues(connection, keys, self._scripted, self._discovery)
        self._rq_workers = RQWorkers(connection, keys, self._scripted, self._discovery)
        self._idleness = Idleness()
        self._own = OwnReader(connection, keys)
        self._known = Known()
        #: How far the label sets are read; ``None`` before Redis has said how many there are.
        self.progress: Progress | None = None
        self._begin_anew()
        #: What this reader has noticed itself, as long as Redis does not say it: when, how many, what.
        self._noticed: tuple[float, int, str] | None = None
        self._difference = 0
        self._missing = 0
        self._repairable: tuple[int, int] | None = None
        self._unindexed = False
        self._strange = Rejected()
        #: A table without counts of its own that is gone, and since when it is.
        self._gone: tuple[float, str] | None = None
        #: The note of a loss that this reader has seen last: since when, in Redis's words, and how many.
        self._noted: tuple[str, int] | None = None
        self._wiped = self._rq_written = False
        #: What RQ had counted for its workers at the last look, and what became of it when something was lost.
        self._counted_by_rq: tuple[RQWorkerState, ...] = ()
        self._rq_said, self._lost_before, self._had_queues = "", False, False

    def _begin_anew(self) -> None:
        #: Label sets that the index has, and whose hashes are gone.
        self._dropped: set[str] = set()
        self._sets: dict[str, LabelSet] = {}
        self._first_time = True
        self._ended = 0
        self._last, self._last_labels = -1, ""
        self._epoch: tuple[str, str] | None = None
        self._rejected: dict[str, Rejected] = {}

    def read(self, gets_on: Callable[[], None] = lambda: None) -> Snapshot:
        """Read everything that is exported.

        Args:
            gets_on: Called whenever Redis has answered a part, for who waits no longer than it does.

        Returns:
            The state of the moment, by the server's clock.

        Raises:
            StoreError: The store has another layout.
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        with self._lock:
            self._scripted.gets_on = gets_on
            look = self._read_books(gets_on)
            rejected = self._strange
            running, deployed = self._running_and_deploys(look)
            entries = tuple(running_entries(running, rejected))
            gets_on()
            # First, for they tell of key prefixes under which there are queues.
            workers = self._rq_workers.read()
            gets_on()
            queues, rate_limits = self._queues.read(look.taken_at)
            for name in sorted(self._discovery.refused):
                rejected.note(name, "is not for this Redis user")
            self._compare_with_rq(look, workers, bool(queues))
            own = self._own.read(look.meta, rejected)
            shared = decode.meta(look.meta, rejected)
            clocks = wrong_clocks(shared, workers, look.taken_at)
            workers = self._idleness.note(workers, clocks, look.taken_at)
            for found in self._rejected.values():
                rejected.number += found.number
                rejected.names = (rejected.names + found.names)[:20]
            self._first_time = False
            self._note_progress(look)
            return self._snapshot(
                look,
                shared,
                running=entries,
                queues=queues,
                rate_limits=rate_limits,
                rq_workers=workers,
                clocks=clocks,
                own=own,
                own_missing=self._own.missing,
                rejected=rejected.number,
                rejected_names=tuple(rejected.names),
                deploys=deployed,
            )

    def _running_and_deploys(self, look: _Look) -> tuple[dict[str, str], tuple[Deploy, ...]]:
        pipe = self._connection.pipeline()
        pipe.hgetall(self._keys.running)
        pipe.hget(self._keys.meta, "running")
        pipe.exists(self._keys.closed)
        deploys.append_read(pipe, self._keys)
        reply, expected, closed, deployed = self._ours(pipe.execute(raise_on_error=False))
        table, gone = _texts(reply or {}), ""
        if len(table) < (count_of(text(expected or "0")) or 0):
            gone = "the running table is gone"
        elif not closed and (moment_of(look.meta.get("closed_until", "")) or 0.0) > look.taken_at + 1:
            gone = "the key of closed executions is gone"
        elif self._dropped:
            gone = "label sets are gone"
        self._gone = (self._gone[0] if self._gone else look.taken_at, gone) if gone else None
        return table, deploys.deploys(deployed)

    def check(self) -> None:
        """Look whether the books agree, and read nothing else.

        Raises:
            StoreError: The store has another layout.
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        with self._lock:
            self._read_books()

    def tend(self) -> bool:
        """Write down what this reader has noticed, so that everybody knows; needs a connection that may write.

        Returns:
            Whether there was anything.

        Raises:
            StoreError: It could not be written.
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        with self._lock:
            noticed, repairable, known = self._noticed, self._repairable, self._known
            unindexed, workers, gone = self._unindexed, self._counted_by_rq, self._gone is not None
            dropped = sorted(self._dropped)
            note, rq = self._noted if self._wiped else None, "" if self._rq_written else self._rq_said
            own = self._own.tend()
        if unindexed and books.reindex(self._connection, self._keys):
            return True
        if gone:
            books.mend(self._connection, self._keys, dropped)
        if noticed is not None or note is not None or rq:
            _, lost, why = noticed or (0.0, 0, "")
            books.witness(self._connection, self._keys, known, lost=lost, why=why, note=note, rq=rq)
        if repairable is not None:
            change, executions = repairable
            names = [worker.name for worker in workers or self._rq_workers.read()]
            books.repair(self._connection, self._keys, change=change, executions=executions, rq_workers=names)
        return own or noticed is not None or repairable is not None or note is not None or gone

    # the label sets

    def _read_books(self, gets_on: Callable[[], None] = lambda: None) -> _Look:
        self._strange = Rejected()
        look = self._look([])
        layout = look.meta.get("layout", LAYOUT)
        if layout != LAYOUT:
            raise StoreError(
                f"the layout of {self._keys.meta} is {layout!r} and this jobtelemetry reads {LAYOUT!r}: "
                "use the version that wrote it, or delete the keys that begin like that one"
            )
        self._notice(look)
        epoch = (look.meta.get("generation", ""), look.meta.get("removed", ""))
        if epoch != self._epoch or look.replaced or look.change < self._last or self._came_back():
            self._begin_anew()
            self._epoch = epoch
            look = self._look([])
        begun, looks = look.number("counted"), 0
        goal = look.change
        self._note_progress(look)
        while look.changed:
            look = self._look(look.changed)
            self._note_progress(look)
            gets_on()
            if self._last >= goal:
                looks += 1
                if looks >= _MOST_LOOKS:
                    break
        self._drop_missing()
        self._judge(look, begun)
        return look

    def _note_progress(self, look: _Look) -> None:
        read = look.sets
        if self._first_time:  # it is not all before everything else is read as well
            read = max(0, min(len(self._sets) + len(self._dropped), look.sets - 1))
        self.progress = Progress(read, look.sets)

    def _look(self, page: list[tuple[str, int]]) -> _Look:
        """Read one page of label sets, the books, and what changed after that page, as they are at one moment."""
        keys = self._keys
        # The set that was read last is asked for again: if another one has its place, an older state came back.
        after = f"({page[-1][1]}" if page else str(self._last)
        pipe = self._connection.pipeline()
        pipe.time()
        pipe.hgetall(keys.meta)
        pipe.zcard(keys.sets)
        pipe.zrangebyscore(keys.sets, after, "+inf", start=0, num=PAGE, withscores=True)
        pipe.hget(keys.label_set(self._last_labels), "changed")
        for labels, _ in page:
            pipe.hgetall(keys.label_set(labels))
            pipe.hgetall(keys.traces(labels))
        replies = self._ours(pipe.execute(raise_on_error=False))
        clock, meta, sets, changed, last, *rows = replies
        found_changed = [(text(labels), int(score)) for labels, score in changed or ()]
        replaced = False
        if not page and found_changed and found_changed[0][1] == self._last:
            replaced = found_changed.pop(0)[0] != self._last_labels or self._is_another(last)
        look = _Look(
            int(clock[0]) + int(clock[1]) / 1_000_000,
            _texts(meta or {}),
            int(sets or 0),
            found_changed,
            replaced,
        )
        since = self._since(look)
        for (labels, change), found, traces in zip(page, rows[::2], rows[1::2], strict=True):
            self._keep(labels, _texts(found or {}), _texts(traces or {}), since)
            if change > self._last:
                self._last, self._last_labels = change, labels
        return look

    def _ours(self, replies: list[Any]) -> list[Any]:
        """Replies, with nothing in place of those about a key that another program uses."""
        for number, reply in enumerate(replies):
            if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
                self._strange.note("keys", "of another type")
                replies[number] = None
            elif isinstance(reply, Exception):
                raise reply
        return replies

    def _since(self, look: _Look) -> float:
        """Before which moment nothing of these numbers began: not before an earlier generation ended."""
        if self._noticed is not None:
            return self._noticed[0]
        return (moment_of(look.meta.get("since", "")) or 0.0) if look.meta.get("previous") else 0.0

    def _keep(self, labels: str, rows: Mapping[str, str], traces: Mapping[str, str], since: float) -> None:
        rejected = Rejected()
        found = decode.label_set(labels, rows, traces, since, rejected) if rows else None
        self._forget(labels)
        if rows:
            self._dropped.discard(labels)
        else:
            self._dropped.add(labels)
        if rejected.number:
            self._rejected[labels] = rejected
        if found is not None:
            self._sets[labels] = found
            self._ended += found.ended

    def _forget(self, labels: str) -> None:
        before = self._sets.pop(labels, None)
        self._rejected.pop(labels, None)
        if before is not None:
            self._ended -= before.ended

    def _drop_missing(self) -> None:
        """Label sets whose hash is gone without a change: evicted, or deleted by a stranger."""
        known = list(self._sets)
        pages = [known[first : first + 500] for first in range(0, len(known), 500)]
        pipe = self._connection.pipeline(transaction=False)
        for page in pages:
            pipe.exists(*[self._keys.label_set(labels) for labels in page])
        for page, there in zip(pages, pipe.execute() if pages else (), strict=True):
            if int(there) != len(page):
                pipe = self._connection.pipeline(transaction=False)
                for labels in page:
                    pipe.exists(self._keys.label_set(labels))
                for labels, exists in zip(page, pipe.execute(), strict=True):
                    if not exists:
                        self._forget(labels)
                        self._dropped.add(labels)

        self._dropped &= self._indexed(self._dropped)

    def _indexed(self, labels: Iterable[str]) -> set[str]:
        asked = list(labels)
        pipe = self._connection.pipeline(transaction=False)
        for one in asked:
            pipe.zscore(self._keys.sets, one)
        scores = self._ours(pipe.execute(raise_on_error=False)) if asked else ()
        return {one for one, score in zip(asked, scores, strict=True) if score is not None}

    def _came_back(self) -> bool:
        """Whether the hash of a label set that was gone is there again, with as many changes: an older state."""
        return bool(self._dropped) and bool(
            self._connection.exists(*[self._keys.label_set(labels) for labels in self._dropped])
        )

    def _is_another(self, changed: Any) -> bool:
        """Whether the label set that was read last is another one now, with as many changes: an older state."""
        kept = self._sets.get(self._last_labels)
        return kept is not None and changed is not None and (moment_of(text(changed)) or 0.0) != kept.changed

    # the books

    def _notice(self, look: _Look) -> None:
        """Compare what Redis has with what this reader has seen."""
        generation, total = look.meta.get("generation", ""), look.number("counted")
        known, previous = self._known, look.meta.get("previous", "").split()
        if known.generation and not generation:
            self._note(look, known.total, "the numbers are gone")
            return
        if known.generation == generation and total < known.total:
            self._note(look, known.total - total, "an older state came back")
            return
        if known.generation and known.generation != generation and known.generation not in previous:
            self._note(look, max(0, known.total - look.number("start")), "the numbers were replaced by others")
            return
        if self._noticed is not None and (look.meta.get("lost_at") or known.generation != generation):
            self._noticed = None  # now Redis says so itself
        if self._noticed is None:
            self._known = Known(generation, total)

    def _note(self, look: _Look, lost: int, why: str) -> None:
        if self._noticed is None:
            self._noticed = (look.taken_at, lost, why)
            self._begin_anew()

    def _judge(self, look: _Look, begun: int) -> None:
        """Do the two entries of every execution agree? Exactly, if nothing happened meanwhile; else within bounds."""
        expected = look.number("counted") - look.number("forgotten") - look.number("written_off")
        if look.changed:  # it never stood still
            least = expected - (look.number("counted") - begun)
            self._missing = max(0, least - self._ended) - max(0, self._ended - expected)
            self._difference, self._repairable = self._missing, None
            return
        self._missing = expected - self._ended
        self._unindexed = self._missing > 0 or look.sets < len(self._sets)
        unbalanced = self._accounts.unbalanced(self._strange)
        self._difference = self._missing or unbalanced
        self._repairable = (look.change, self._ended) if self._missing or unbalanced else None
        if not look.meta and not self._ended:
            self._difference, self._repairable = 0, None

    def _compare_with_rq(self, look: _Look, workers: tuple[RQWorkerState, ...], has_queues: bool) -> None:
        """Where something of ours was lost: has RQ lost the same? Its counts of workers that live on tell."""
        before, self._counted_by_rq = self._counted_by_rq, workers
        queues_gone, self._had_queues = self._had_queues and not has_queues, has_queues
        lost = self._noticed is not None or self._difference != 0 or bool(look.meta.get("lost_at"))
        if lost and not self._lost_before:
            self._rq_said = self._what_rq_lost(look, _counts(before), _counts(workers), queues_gone)
        self._lost_before = lost
        if not lost:
            self._rq_said = ""

    def _what_rq_lost(self, look: _Look, before: _Counts, now: _Counts, queues_gone: bool) -> str:
        went_on = {
            name: now[name][1] - number for name, (birth, number) in before.items() if _birth(now, name) == birth
        }
        # RQ's hash of a worker came anew under it: it has no birth.
        reborn = any(birth is not None and name in now and now[name][0] is None for name, (birth, _) in before.items())
        if reborn or queues_gone or any(more < 0 for more in went_on.values()):
            return "RQ lost the same"
        why = self._noticed[2] if self._noticed is not None else look.meta.get("why", "")
        # An older state may have come back whose counts have been passed since; nor does a hash that had come anew
        # before tell whether it did so again.
        kept = any(birth is not None and name in went_on for name, (birth, _) in before.items())
        return "RQ still has its own counts" if kept and why not in _GO_BACK else ""

    def _loss(self, look: _Look, meta: Mapping[str, str], numbers: Mapping[str, int]) -> tuple[float | None, int, str]:
        """Since when counts are missing, how many as far as anybody knows, and why; by Redis and by this reader."""
        noted, lost, why = (
            meta.get("lost_at", ""),
            numbers.get("lost", 0) + numbers.get("lost_before", 0),
            meta.get("why", ""),
        )
        lost_at = moment_of(noted) if noted else None
        self._wiped = self._is_wiped(lost_at, moment_of(meta.get("acknowledged", "")) or 0.0)
        if self._noticed is not None:
            lost_at, why = lost_at or self._noticed[0], self._noticed[2]
        lost += max(self._missing, self._noticed[1] if self._noticed else 0, 0)
        if self._difference:
            lost_at = lost_at or look.taken_at
            why = why or ("label sets are gone" if self._missing > 0 else "accounts or totals are gone")
        if self._gone is not None:
            lost_at, why = lost_at or self._gone[0], why or self._gone[1]
        if self._own.missing:
            lost_at, why = lost_at or look.taken_at, why or "series of own metrics are gone"
        if self._wiped and self._noted is not None:
            lost_at, lost = moment_of(self._noted[0]), lost + self._noted[1]
            why = why or "the note of a loss is gone"
        else:
            self._noted = (noted, lost) if noted else None
        self._rq_written = ";" in meta.get("why", "")
        if self._rq_said and lost_at is not None and why and ";" not in why:
            why = f"{why}; {self._rq_said}"
        return lost_at, lost, why

    def _is_wiped(self, lost_at: float | None, acknowledged: float) -> bool:
        """Whether a note is gone that this reader has seen and that nobody has acknowledged."""
        since = moment_of(self._noted[0]) if self._noted is not None else None
        return since is not None and acknowledged < since and (lost_at is None or lost_at > since)

    # the snapshot

    def _snapshot(self, look: _Look, meta: Mapping[str, str], **observed: Any) -> Snapshot:
        sets = tuple(self._sets.values())
        numbers = {parts_of(field)[0]: count_of(value) or 0 for field, value in meta.items() if "|" not in field}
        by_label: dict[str, dict[str, int]] = {"dropped": {}, "handler_errors": {}, "own_dropped": {}}
        for field, value in meta.items():
            family, *parts = parts_of(field)
            if family in by_label and parts:
                by_label[family][parts[0]] = count_of(value) or 0
        lost_at, lost, why = self._loss(look, meta, numbers)
        return Snapshot(
            taken_at=look.taken_at,
            sets=sets,
            seen=Merged(lambda: {one.series: one.created for one in sets}),
            executions=Merged(lambda: _executions(sets)),
            cancellations=Merged(
                lambda: {(s.series, name): counter for s in sets for name, counter in s.cancellations.items()}
            ),
            errors=Merged(lambda: {(s.series, name): counter for s in sets for name, counter in s.errors.items()}),
            durations=Merged(lambda: {(s.series, state): found for s in sets for state, found in s.durations.items()}),
            waits=Merged(lambda: {s.series: s.wait if s.wait.counts else Histogram(created=s.created) for s in sets}),
            enqueued=Merged(lambda: {s.series: Counter(s.enqueued, s.created) for s in sets}),
            cancelled_unstarted=Merged(lambda: {s.series: Counter(s.unstarted, s.created) for s in sets}),
            rate_limited_executions=Merged(lambda: {s.series: Counter(s.limited, s.created) for s in sets}),
            cpu=Merged(lambda: {s.series: Amount(s.cpu, s.created) for s in sets if s.cpu is not None}),
            peak_memory=Merged(lambda: {s.series: float(s.peak_memory) for s in sets if s.peak_memory is not None}),
            last_completed=Merged(lambda: {s.series: s.last_completed for s in sets if s.last_completed is not None}),
            handler_errors=dict.fromkeys(HOOKS, 0) | by_label["handler_errors"],
            reconciled=numbers.get("reconciled", 0),
            late=numbers.get("late", 0),
            dropped={name: by_label["dropped"].get(short, 0) for short, name in _DROPPED.items()}
            | by_label["own_dropped"],
            own_unwritten=numbers.get("own_unwritten", 0),
            own_left_out=numbers.get("own_left_out", 0),
            created=min((one.created for one in sets), default=0.0),
            generation_started=self._since(look) or moment_of(meta.get("since", "")) or 0.0,
            counts_lost_at=lost_at,
            counts_lost=lost,
            counts_lost_why=why if lost_at is not None else "",
            accounts_difference=self._difference,
            **observed,
        )


def _executions(sets: tuple[LabelSet, ...]) -> dict[tuple[Series, State], Counter]:
    return {
        (one.series, state): one.executions.get(state) or Counter(0, one.created) for one in sets for state in State
    }


def _counts(workers: Iterable[RQWorkerState]) -> _Counts:
    return {worker.name: (worker.birth, worker.counted_by_rq) for worker in workers}


def _birth(counts: _Counts, name: str) -> float | None:
    return counts[name][0] if name in counts else -1.0


def _texts(reply: Mapping[Any, Any]) -> dict[str, str]:
    return {text(field): text(value) for field, value in reply.items()}
