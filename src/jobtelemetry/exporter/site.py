"""What the exporter shows besides ``/metrics``: the pages for people and the same as JSON, from bounded reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs

from jobtelemetry.config import Config
from jobtelemetry.exporter import api
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.exporter.logbook import Failed, Logbook
from jobtelemetry.exporter.pages import job, listing, overview, own, worker
from jobtelemetry.exporter.pages.frame import Look
from jobtelemetry.exporter.reading import TIME_LIMIT, Reading, SnapshotReader, TimeLimited, explain
from jobtelemetry.exporter.reconciling import Reconciler
from jobtelemetry.exporter.trends import INTERVAL, Trends
from jobtelemetry.questions.failures import group_failures
from jobtelemetry.questions.rq_workers import RQWorker, read_rq_workers
from jobtelemetry.questions.story import Story, tell
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.snapshot import RQWorkerState

T = TypeVar("T")
HTML, JSON = "text/html; charset=utf-8", "application/json"
#: Entries of the execution log that the story of a job is looked for in.
_STORY_REACH = 2000
_LONGEST_NAME = 1000
_PATIENCE = 1.0  # seconds until the first sample


class Answer(NamedTuple):
    """Status, content type and text; or where it is now, relative to where it was looked for."""

    status: HTTPStatus
    kind: str
    text: str
    moved: str = ""


class Site:
    """Answers for every page and for the JSON beside it.

    Args:
        connection: RQ's Redis.
        config: The settings.
        reader: What reads the state, shared with ``/metrics``.
        reconciler: The one of the same exporter, where it has one.
        redis: The name of the Redis server, where there are several.
    """

    def __init__(
        self,
        connection: Any,
        config: Config,
        reader: SnapshotReader,
        reconciler: Reconciler | None = None,
        redis: str = "",
    ) -> None:
        self._redis = redis
        config = config.of_redis(redis)
        self._connection, self._keys = with_time_limits(connection), Keys(config.key_prefix)
        self._config, self._reader, self._reconciler = config, reader, reconciler
        self._trends = Trends()
        logbook = Logbook(self._connection, self._keys)
        self._failed = TimeLimited(logbook.look, TIME_LIMIT)
        self.begin_anew()
        begin_anew_in_children(self)
        self._pages: dict[str, Callable[[], Answer]] = {
            "/": self._overview,
            "/workers": lambda: page(listing.workers(self._look())),
            "/queues": lambda: page(listing.queues(self._look())),
            "/rq-workers": self._rq_workers,
            "/failures": self._failures,
            "/own-metrics": lambda: page(own.all_metrics(self._look())),
        }

    def begin_anew(self) -> None:
        """Stories are told one at a time."""
        self._telling = threading.Lock()

    @property
    def places(self) -> tuple[str, ...]:
        """Where there is something to see."""
        return (*self._pages, "/worker/NAME", "/job/ID", "/own-metrics/NAME", "/api/v1")

    @property
    def backgrounds(self) -> tuple[Callable[[threading.Event], None], ...]:
        """What runs beside the serving, each in a thread of its own."""
        return (self.background,)

    def background(self, stop: threading.Event) -> None:
        """Sample the trends once a minute until told to stop; whoever asks first is answered first."""
        stop.wait(_PATIENCE)
        every(INTERVAL, self._sample, name="sampling of trends")(stop)

    def route(self, path: str, query: str = "") -> Callable[[], Answer] | None:
        """What answers for a path; ``None`` if nothing is there.

        Args:
            path: Unquoted, as WSGI has it or as text.
            query: What stands behind the question mark.
        """
        path = _as_text(path)
        if shown := self._pages.get(path.rstrip("/") or "/"):
            return shown
        for prefix, answer in (("/worker/", self._worker), ("/job/", self._job), ("/own-metrics/", self._own_metric)):
            name = path.removeprefix(prefix)
            if path.startswith(prefix) and 0 < len(name) <= _LONGEST_NAME:
                return lambda: answer(name)
        if path == "/api/v1" or path.startswith("/api/v1/"):
            wanted = {name: values[-1] for name, values in parse_qs(query).items()}
            return lambda: self._api(path.removeprefix("/api/v1").strip("/"), wanted)
        return None

    def _sample(self) -> None:
        reading = self._reader.read()
        if reading.snapshot is not None:
            self._trends.add(reading.snapshot)
            self._or_nothing(self._failed, Failed())

    def ask(self) -> Callable[[], Look]:
        """Begin to look, and get what waits for the end, so that several can be asked at once."""
        answer = self._reader.ask()
        return lambda: self._look(reading=answer())

    def _look(self, root: str = "", reading: Reading | None = None) -> Look:
        reading = reading or self._reader.read()
        now = reading.snapshot.taken_at if reading.snapshot else time.time()
        snapshot = reading.snapshot or self._reader.last
        if reading.snapshot is not None and self._trends.is_due(now):  # where no thread samples, those who look do
            self._trends.add(reading.snapshot)
        problem = (self._reconciler.problem if self._reconciler else None) or ""
        failed = Failed() if snapshot is None or reading.error else self._or_nothing(self._failed, Failed())
        return Look(
            snapshot, now, reading.error, self._trends, root, self._config.trace_url, problem, self._redis, failed
        )

    def _overview(self) -> Answer:
        look = self._look()
        shown = overview.shown_rq_workers(look.snapshot) if look.snapshot else []
        groups = group_failures(look.failed.entries)
        return page(overview.render(look, self._details(look, shown), groups))

    def _rq_workers(self) -> Answer:
        look = self._look()
        return page(listing.rq_workers(look, self._details(look)))

    def _failures(self) -> Answer:
        look = self._look()
        return page(listing.failures(look, group_failures(look.failed.entries), look.failed.since))

    def _worker(self, name: str) -> Answer:
        look = self._look("../")
        failed = look.failed.of(name)
        text = worker.render(look, name, failed.entries, failed.since)
        return page(text) if text is not None else Answer(HTTPStatus.NOT_FOUND, HTML, worker.missing(look, name))

    def _job(self, name: str) -> Answer:
        look = self._look("../")
        story = Story(name) if look.error else self._tell(name)
        known = story.known or look.error
        return Answer(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND, HTML, job.render(look, story))

    def _own_metric(self, name: str) -> Answer:
        look = self._look("../")
        text = own.one_metric(look, name)
        return page(text) if text is not None else Answer(HTTPStatus.NOT_FOUND, HTML, own.missing(look, name))

    def _tell(self, name: str) -> Story:
        with self._telling:
            return tell(self._connection, self._keys, name, _STORY_REACH)

    def _details(self, look: Look, asked: list[RQWorkerState] | None = None) -> tuple[RQWorker, ...]:
        snapshot = look.snapshot
        if snapshot is None or look.error:
            return ()
        return self._or_nothing(lambda: read_rq_workers(self._connection, self._keys, snapshot, asked), ())

    def _or_nothing(self, read: Callable[[], T], nothing: T) -> T:
        """What a page can do without where Redis is away or refuses; the reader of the state says so already."""
        try:
            return read()
        except Exception:  # noqa: BLE001 - whatever it was, the page must be answered
            return nothing

    def _api(self, path: str, wanted: Mapping[str, str]) -> Answer:
        look = self._look()
        sources = api.Sources(look, self._failed, lambda: self._details(look), self._tell, self._redis)
        try:
            status, body = api.answer(sources, path, wanted)
        except Exception as error:  # noqa: BLE001 - Redis went away in between, or refuses
            status, body = api.AWAY, {"error": f"Redis cannot be read: {explain(error)}"}
        return Answer(status, JSON, api.dumps(body))


def _as_text(path: str) -> str:
    """WSGI has the bytes of a path as characters of Latin-1; who has text already keeps it."""
    try:
        return path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return path


def page(text: str) -> Answer:
    """A page that is there."""
    return Answer(HTTPStatus.OK, HTML, text)
