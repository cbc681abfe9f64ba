"""The last day without Prometheus: a bounded ring of what the exporter read, in memory, begun anew by a restart.

Once a minute the differences of the counters and the depths of the queues are noted, for a day: 4 bytes for each state
of a worker and for each queue. What did nothing in all that time has no line and costs nothing; at most
:data:`MOST_WORKERS` workers and :data:`MOST_QUEUES` queues have one, which is 18 MB when all of them are busy all day.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.figures import summarise
from jobtelemetry.outcomes import State
from jobtelemetry.questions.queues import Tallies, tally_queues
from jobtelemetry.store.snapshot import Snapshot

#: Seconds between two samples, and how many are kept.
INTERVAL = 60.0
SAMPLES = 24 * 60
MOST_WORKERS = 250
MOST_QUEUES = 1000

#: Readings further apart than this many seconds leave a time of which nobody knows what happened when.
_GAP = 2.5 * INTERVAL
_SLACK = 10.0
#: Seconds that a rate is measured over, at most and at least.
_RATE_OVER = 300.0
_RATE_AT_LEAST = 5.0
_LARGEST = 2**31 - 1
#: Hours that a chart can show, and the bars it has.
_SPANS = (1, 3, 6, 12, 24)
BARS = 60

Totals = Mapping[State, int]


@dataclass(frozen=True)
class Lately:
    """What happened to executions in the last while.

    Args:
        seconds: How long that is; 0 where nothing is known yet.
        counts: Ended executions by worker and state; only workers of which one ended.
    """

    seconds: float = 0.0
    counts: Mapping[str, Totals] = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """Something over time, in bars of equal length.

    Args:
        begin: Unix time in seconds of the first bar's beginning.
        end: Of the last bar's end.
        bars: Per name (a state, or ``waiting``) one number per bar; ``None`` where nothing was read.
        known_since: When the exporter read for the first time, as far as the ring reaches.
    """

    begin: float
    end: float
    bars: Mapping[str, Sequence[float | None]]
    known_since: float


class Trends:
    """The ring.

    Args:
        samples: How many samples are kept.
    """

    def __init__(self, samples: int = SAMPLES) -> None:
        self._samples = samples
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._times = array("d")
        self._workers: dict[str, dict[State, array[int]]] = {}
        self._queues: dict[str, array[int]] = {}
        self._ended = {state: array("i") for state in State}
        self._waiting = array("i")
        self._totals: dict[str, Totals] = {}
        self._tallies: deque[Tallies] = deque(maxlen=2 + int(_RATE_OVER / INTERVAL))
        self._since_sweep = 0

    def add(self, snapshot: Snapshot) -> None:
        """Note a snapshot; one that is not later than the last is passed over."""
        totals = _totals(snapshot)
        with self._lock:
            if self._times and snapshot.taken_at <= self._times[-1]:
                return
            risen = {} if not self._times else _risen(self._totals, totals)
            self._totals = totals
            self._tallies.append(tally_queues(snapshot))
            self._note_ended(risen)
            self._note_depths({queue.name: queue.jobs.get("queued", 0) for queue in snapshot.queues})
            self._times.append(snapshot.taken_at)
            if len(self._times) > self._samples:
                for line in self._lines():
                    del line[0]
            self._sweep()

    def is_due(self, now: float) -> bool:
        """Whether the last sample is older than a minute; the thread that samples is never later than that."""
        with self._lock:
            return not self._times or now - self._times[-1] > INTERVAL + _SLACK

    def before(self, snapshot: Snapshot) -> Tallies | None:
        """An earlier reading of the queues, to measure rates against; ``None`` if there is none yet."""
        with self._lock:
            fit = [
                one for one in self._tallies if _RATE_AT_LEAST <= snapshot.taken_at - one.at <= _RATE_OVER + INTERVAL
            ]
        return fit[0] if fit else None

    def lately(self, snapshot: Snapshot, seconds: float = 3600.0) -> Lately:
        """What ended in the last while, up to a snapshot of this moment."""
        totals = _totals(snapshot)
        with self._lock:
            if not self._times:
                return Lately()
            # What is noted at a sample ended between the one before it and that one.
            first = max(1, bisect_left(self._times, snapshot.taken_at - seconds))
            counts = {
                worker: {state: sum(line[state][first:]) for state in State} for worker, line in self._workers.items()
            }
            for worker, risen in _risen(self._totals, totals).items():
                known = counts.get(worker, dict.fromkeys(State, 0))
                counts[worker] = {state: known[state] + risen[state] for state in State}
            begin = self._times[first - 1]
        counts = {worker: states for worker, states in counts.items() if any(states.values())}
        return Lately(max(0.0, snapshot.taken_at - begin), counts)

    def ended(self, now: float, worker: str | None = None) -> Chart | None:
        """Executions that ended, by state, of one worker or of all; ``None`` before the second sample."""
        with self._lock:
            if len(self._times) < 2:
                return None
            lines = self._ended if worker is None else self._workers.get(worker)
            copies = {
                state.value: list(lines[state]) if lines is not None else [0] * len(self._times) for state in State
            }
            times = list(self._times)
        begin, width = _window(times, now)
        bars = {name: _spread(times, line, begin, width) for name, line in copies.items()}
        return Chart(begin, begin + BARS * width, bars, times[0])

    def waiting(self, now: float, queue: str | None = None) -> Chart | None:
        """Jobs that waited, on one queue or on all together; ``None`` before the second sample."""
        with self._lock:
            if len(self._times) < 2:
                return None
            found = self._waiting if queue is None else self._queues.get(queue)
            line = [0] * len(self._times) if found is None else list(found)
            times = list(self._times)
        begin, width = _window(times, now)
        return Chart(begin, begin + BARS * width, {"waiting": _held(times, line, begin, width)}, times[0])

    def keeps(self, worker: str) -> bool:
        """Whether a worker's trend is known: it has a line, or there was room for one."""
        with self._lock:
            return worker in self._workers or len(self._workers) < MOST_WORKERS

    def _note_ended(self, risen: Mapping[str, Totals]) -> None:
        length = len(self._times)
        for worker in risen:
            if worker not in self._workers and len(self._workers) < MOST_WORKERS:
                self._workers[worker] = {state: array("i", bytes(4 * length)) for state in State}
        for worker, line in self._workers.items():
            for state in State:
                line[state].append(min(_LARGEST, risen[worker][state] if worker in risen else 0))
        for state in State:
            self._ended[state].append(min(_LARGEST, sum(counts[state] for counts in risen.values())))

    def _note_depths(self, depths: Mapping[str, int]) -> None:
        length = len(self._times)
        for queue, depth in depths.items():
            if depth and queue not in self._queues and len(self._queues) < MOST_QUEUES:
                self._queues[queue] = array("i", bytes(4 * length))
        for queue, line in self._queues.items():
            line.append(min(_LARGEST, depths.get(queue, 0)))
        self._waiting.append(min(_LARGEST, sum(depths.values())))

    def _lines(self) -> list[array[int] | array[float]]:
        workers = [line for lines in self._workers.values() for line in lines.values()]
        return [self._times, self._waiting, *self._ended.values(), *workers, *self._queues.values()]

    def _sweep(self) -> None:
        """Once an hour forget the lines that are nothing but zeros."""
        self._since_sweep += 1
        if self._since_sweep < 60:
            return
        self._since_sweep = 0
        self._workers = {name: lines for name, lines in self._workers.items() if any(map(any, lines.values()))}
        self._queues = {name: line for name, line in self._queues.items() if any(line)}


def _totals(snapshot: Snapshot) -> dict[str, Totals]:
    return {line.worker: line.counts for line in summarise(snapshot)}


def _risen(before: Mapping[str, Totals], now: Mapping[str, Totals]) -> dict[str, Totals]:
    """How much the counts of each worker have risen, of those where any has; one that fell was begun anew."""
    risen: dict[str, Totals] = {}
    for worker, counts in now.items():
        old = before.get(worker, {})
        rise = {
            state: count - old.get(state, 0) if count >= old.get(state, 0) else count for state, count in counts.items()
        }
        if any(rise.values()):
            risen[worker] = rise
    return risen


def _window(times: Sequence[float], now: float) -> tuple[float, float]:
    """Where a chart begins and how many seconds each of its bars has: the shortest span that holds all samples."""
    end = max(now, times[-1])
    hours = next((span for span in _SPANS if end - times[0] <= span * 3600), _SPANS[-1])
    width = hours * 3600 / BARS
    return end - BARS * width, width


def _spread(times: Sequence[float], line: Sequence[int], begin: float, width: float) -> list[float | None]:
    """What was counted between two samples, spread over the bars that lie between them."""
    bars: list[float | None] = [None] * BARS
    for i in range(1, len(times)):
        lower, upper = (times[i - 1] - begin) / width, (times[i] - begin) / width
        for bar in range(max(0, int(lower)), min(BARS - 1, int(upper)) + 1):
            share = (min(upper, bar + 1) - max(lower, bar)) / (upper - lower)
            if share > 0:
                bars[bar] = (bars[bar] or 0.0) + line[i] * share
    return bars


def _held(times: Sequence[float], line: Sequence[int], begin: float, width: float) -> list[float | None]:
    """The largest of what was read within a bar; one without a reading of its own has the earlier one, for a while."""
    bars: list[float | None] = [None] * BARS
    for at, value in zip(times, line, strict=True):
        bar = int((at - begin) // width)
        if 0 <= bar < BARS or at == begin + BARS * width:
            bar = min(bar, BARS - 1)
            bars[bar] = max(bars[bar] or 0.0, float(value))
    for at, value in zip(times, line, strict=True):
        for bar in range(max(0, int((at - begin) // width) + 1), min(BARS, int((at + _GAP - begin) // width) + 1)):
            if begin + bar * width > times[-1] or bars[bar] is not None:
                break
            bars[bar] = float(value)
    return bars
