"""The command: ``python -m tests.soak --minutes 10``."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.scheduler import RQScheduler

import jobtelemetry
from jobtelemetry.config import Config
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from jobtelemetry.store.snapshot import Snapshot

from .chaos import Chaos
from .ledger import LEDGER, read
from .pool import QUEUES, Pool
from .primary import Primary
from .producer import Producer
from .proof import Proof
from .verdict import Verdict, judge, judge_measured

_LOG_SIZE = 100_000_000
_BACKLOG = 60  # waiting jobs from which on no more are produced
_SETTLE = 180.0  # seconds for the pool to come to rest in the end


def main() -> int:
    """Run the soak and print what it found. Returns the exit code."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="jt-soak-"))
    os.environ[LEDGER] = str(folder / "ledger.jsonl")
    os.environ["JOBTELEMETRY_LOG_SIZE"] = str(_LOG_SIZE)
    os.environ["JOBTELEMETRY_MAX_LABEL_SETS"] = str(_LOG_SIZE)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    print(f"seed {seed}, {options.minutes:g} minutes, ledger and logs in {folder}", flush=True)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # nothing is left running
    logging.getLogger("rq").setLevel(logging.CRITICAL)
    logging.getLogger("jobtelemetry").setLevel(logging.CRITICAL)
    server = Primary(folder)
    try:
        soak = Soak(server, folder, random.Random(seed), options)
        try:
            good = soak.run()
        finally:
            soak.end()
    finally:
        server.stop()
    if good and not options.keep:
        shutil.rmtree(folder)
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long chaos rages")
    parser.add_argument("--rate", type=float, default=12.0, help="jobs enqueued per second")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between two deeds of chaos")
    parser.add_argument("--seed", type=int, help="of all chance; a new one by default")
    parser.add_argument("--keep", action="store_true", help="keep ledger and logs also when all is well")
    return parser


class Soak:
    """Everything that runs, and the questions asked while it does."""

    def __init__(self, server: Primary, folder: Path, dice: random.Random, options: argparse.Namespace) -> None:
        self._options, self._folder = options, folder
        self._connection: Redis = server.client()
        self._keys = Keys(Config.from_env().key_prefix)
        self._pool = Pool(server.url, folder)
        self._proof = Proof(server.client(), self._keys)
        self._chaos = Chaos(server, self._pool, self._proof, random.Random(dice.random()), options.pause)
        self._dice = random.Random(dice.random())
        self._producing, self._keeping = threading.Event(), threading.Event()
        self._misaudited: Counter[str] = Counter()
        self._doubtful: dict[str, tuple[int, int, bool]] = {}
        self._seen_plain: set[str] = set()
        self._began = time.monotonic()

    def run(self) -> bool:
        """Everything, from the first process to the verdict."""
        jobtelemetry.instrument()
        self._producing.set()
        self._keeping.set()
        for work in (self._produce, self._keep):
            threading.Thread(target=work, daemon=True).start()
        self._pool.start_exporter()
        self._chaos.rage(self._options.minutes * 60)
        self._producing.clear()
        for member in self._pool.of("plain"):
            member.process.terminate()
        if not self._pool.of("exporter"):
            self._pool.start_exporter()
        left = self._wait_for_rest()
        self._wait_for_proof()
        self._keeping.clear()
        return self._report(left)

    def end(self) -> None:
        """End every process."""
        self._producing.clear()
        self._keeping.clear()
        self._pool.end()
        jobtelemetry.uninstrument()

    def _produce(self) -> None:
        producer = Producer(self._connection, self._dice)
        while self._producing.is_set():
            with suppress(RedisError):
                if sum(Queue(name, connection=self._connection).count for name in QUEUES) < _BACKLOG:
                    producer.produce()
            time.sleep(self._dice.expovariate(self._options.rate))

    def _keep(self) -> None:
        """Keep the pool at its strength, move what is scheduled, and ask the audit."""
        while self._keeping.is_set():
            with suppress(RedisError):
                self._pool.keep_up()
                if not self._pool.of("exporter"):
                    self._pool.start_exporter()
                scheduler = RQScheduler(QUEUES, connection=self._connection)
                scheduler._acquired_locks = set(QUEUES)
                scheduler.enqueue_scheduled_jobs()
                self._free_locks()
                self._ask_audit()
            time.sleep(0.5)

    def _free_locks(self) -> None:
        """RQ would wait 15 minutes for a worker that was killed while it cleaned up."""
        for queue in QUEUES:
            key = f"rq:clean_registries:{queue}"
            if 0 < int(self._connection.ttl(key)) < 899 - 30:  # type: ignore[arg-type]
                self._connection.delete(key)

    def _ask_audit(self) -> None:
        undisturbed = self._proof.undisturbed
        workers = self._proof.look().rq_workers
        for worker in workers:
            plain = worker.name.startswith("plain-")
            if plain and not worker.instrumented:
                self._seen_plain.add(worker.name)
            wrong = worker.instrumented == plain or worker.recorded != (0 if plain else worker.counted_by_rq)
            figures = (worker.recorded, worker.counted_by_rq, worker.instrumented)
            before = self._doubtful.pop(worker.name, None)
            if wrong and undisturbed and self._proof.undisturbed:
                self._doubtful[worker.name] = figures
                if before == figures:  # and not a worker that was caught between two of its writes
                    self._misaudited[f"{worker.name}: {figures[0]} of {figures[1]}"] += 1

    def _wait_for_proof(self) -> None:
        """Wait until what was done last has been acknowledged."""
        deadline = time.monotonic() + _SETTLE
        while not self._proof.undisturbed and time.monotonic() < deadline:
            time.sleep(0.5)

    def _wait_for_rest(self) -> str:
        """Wait until nothing is left to do. Returns what is, if it is never done."""
        deadline = time.monotonic() + _SETTLE
        left = "?"
        while left and time.monotonic() < deadline:
            time.sleep(0.5)
            with suppress(RedisError):
                left = self._left()
        return left

    def _left(self) -> str:
        snapshot = read_snapshot(self._connection, self._keys)
        found = Counter({"running": len(snapshot.running)})
        for queue in snapshot.queues:
            for status in ("queued", "intermediate", "started", "scheduled"):
                found[f"{status} on {queue.name}"] += queue.jobs[status]
        for worker in snapshot.rq_workers:
            found[f"RQ worker {worker.name} {worker.status}"] += worker.status != "idle"
        return ", ".join(f"{number} {what}" for what, number in found.items() if number)

    def _report(self, left: str) -> bool:
        ledger = list(read(Path(os.environ[LEDGER])))
        snapshot = self._proof.look()
        verdict = judge(ledger, self._proof.entries)
        problems = self._problems(left, snapshot, ledger)
        measured = {one.labels[0][1]: one.value for family in snapshot.own for one in family.series}
        print(f"measured by {len(measured)} executions; {snapshot.own_unwritten} died with what they had measured")
        if not self._proof.ever_tampered:  # then some of it is lost, and the proof says so
            problems += judge_measured(ledger, self._proof.entries, measured)
            if snapshot.own_missing or snapshot.own_left_out:
                left_out = f"{snapshot.own_missing} missing, {snapshot.own_left_out} left out"
                problems.append(f"of what was measured, {left_out}")
        self._print(verdict, snapshot, problems)
        return verdict.good and not problems

    def _problems(self, left: str, snapshot: Snapshot, ledger: list[dict[str, object]]) -> list[str]:
        problems = [f"never done: {left}"] if left else []
        problems += self._proof.problems
        if snapshot.unrecorded or snapshot.uninstrumented:
            problems.append(f"audit: {snapshot.unrecorded} unrecorded, {snapshot.uninstrumented} uninstrumented")
        problems += [f"audit was wrong {n} times about {name}" for name, n in self._misaudited.items()]
        worked = Counter(str(line["worker"]) for line in ledger if line["event"] == "created")
        unseen = {name for name, n in worked.items() if name.startswith("plain-") and n >= 5} - self._seen_plain
        return problems + [f"the audit never showed {name}" for name in sorted(unseen)]

    def _print(self, verdict: Verdict, snapshot: Snapshot, problems: list[str]) -> None:
        deeds = ", ".join(f"{name} {number}" for name, number in sorted(self._chaos.deeds.items()))
        states = ", ".join(f"{state} {number}" for state, number in sorted(verdict.states.items()))
        print(f"{time.monotonic() - self._began:.0f} s, chaos: {deeds}")
        print(f"executions on instrumented workers, by the ledger: {verdict.executions}, started: {verdict.started}")
        print(f"executions on plain workers: {verdict.plain}, on {len(self._seen_plain)} workers that the audit showed")
        print(f"counted: {sum(verdict.states.values())} ({states})")
        print(
            f"of these cut short: {verdict.cut_short}, given up although their job ended: {verdict.late}, "
            f"stuck without an execution: {verdict.stuck}, reconciled: {snapshot.reconciled}, late: {snapshot.late}"
        )
        print(f"not judged, since RQ lost the same: {verdict.lost_with_rq}")
        said = ", ".join(f"{why} {number}" for why, number in self._proof.said.most_common())
        print(f"looks at the proof: {self._proof.looks}, of which said: {said or 'nothing'}")
        errors = {hook: number for hook, number in snapshot.handler_errors.items() if number}
        print(f"errors in hooks: {errors}")
        for title, found in (
            ("lost", verdict.lost),
            ("double", verdict.double),
            ("misclassified", verdict.misclassified),
            ("unannounced", [problem for problem in problems if problem.startswith("unannounced")]),
            ("other problems", [problem for problem in problems if not problem.startswith("unannounced")]),
        ):
            print(f"{title}: {len(found)}")
            for line in found[:20]:
                print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
