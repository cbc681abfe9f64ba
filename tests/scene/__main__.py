"""``cd tests && python -m scene``: half an hour of a real installation, and pictures of every dashboard of it.

The pictures in ``docs/images`` are made with it. What draws a dashboard is yours: Grafana with its image renderer, or
any program that takes the dashboard, the Prometheus, the time, the theme and the file, such as

    python -m scene play --home /var/tmp/scene
    python -m scene draw --home /var/tmp/scene --out ../docs/images --with 'draw {dashboard} --prometheus {prometheus}
        --from {begin} --to {end} --theme {theme} --out {file} {variables}'

``{variables}`` becomes ``--var NAME=VALUE`` for each.
"""

from __future__ import annotations

import json
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rq import Queue, Retry

from jobtelemetry.config import Config
from jobtelemetry.mixin.names import Board
from scene.cinema.behaviour import SPOILT
from scene.site import Site

#: Seconds between two jobs, on average: function -> pace, queue, options.
TRAFFIC: dict[str, tuple[float, str, Callable[[], dict[str, Any]]]] = {
    "scraping.jobs.sync_repertoire": (6, "scraping", lambda: {"retry": Retry(max=3, interval=20)}),
    "scraping.jobs.process_showtime": (1.2, "scraping", dict),
    "scraping.jobs.download_poster": (2.5, "posters", lambda: {"retry": Retry(max=2)}),
    "catalogue.jobs.refresh_movie_detail": (3, "catalogue", dict),
    "catalogue.jobs.rebuild_search_index": (12, "catalogue-low", lambda: {"retry": Retry(max=1)}),
    "catalogue.jobs.encode_trailer": (130, "media", dict),
}
#: Which dashboards, with which variables; the file is named after the board and the scene.
PICTURES = {
    Board.OVERVIEW: {},
    Board.WORKER: {"worker": "cinema.scraping.jobs.download_poster"},
    Board.PIPELINE: {"source": "cinema_city"},
    Board.QUEUES: {},
    Board.HEALTH: {},
    Board.EXECUTIONS: {},
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real installation, calm and then in trouble, and pictures of its dashboards."""


@main.command()
@click.option("--home", type=click.Path(path_type=Path), required=True, help="For data and logs; they stay.")
@click.option("--calm", default=14.0, show_default=True, help="Minutes in which all is well.")
@click.option("--trouble", default=16.0, show_default=True, help="Minutes after the bad deploy.")
def play(home: Path, calm: float, trouble: float) -> None:
    """Let it happen, in real time, and note when what began."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is ended
    with Site(home) as site:
        moments = {"begin": time.time()}
        site.mark("v2.3.1")
        traffic = _traffic(site)
        _pass(traffic, calm * 60)
        moments["calm"] = time.time()
        site.mark("v2.4.0")
        site.redis.set(SPOILT, 1)
        site.stop_worker("newsletter")
        _pass(traffic, trouble * 60)
        moments["trouble"] = time.time()
        (home / "moments.json").write_text(json.dumps(moments))


@main.command()
@click.option("--home", type=click.Path(path_type=Path, exists=True), required=True, help="Where it was played.")
@click.option("--out", type=click.Path(path_type=Path, exists=True), required=True, help="For the pictures.")
@click.option("--with", "command", required=True, help="What draws; see the top of this module.")
@click.option("--only", multiple=True, help="Boards, such as overview; else all.")
@click.option("--theme", "themes", multiple=True, default=("light", "dark"), show_default=True)
def draw(home: Path, out: Path, command: str, only: tuple[str, ...], themes: tuple[str, ...]) -> None:
    """Draw each dashboard, calm and in trouble, in both themes."""
    moments = json.loads((home / "moments.json").read_text())
    with Site(home, monitoring_only=True) as site:
        for scene in ("calm", "trouble"):
            for board, variables in PICTURES.items():
                for theme in themes:
                    if only and board.value not in only:
                        continue
                    chosen = [word for name, value in variables.items() for word in ("--var", f"{name}={value}")]
                    facts = {
                        "dashboard": str(home / "bundle" / "grafana" / "dashboards" / f"{board.uid}.json"),
                        "prometheus": site.prometheus,
                        "begin": f"{moments['begin'] * 1000:.0f}",
                        "end": f"{moments[scene] * 1000:.0f}",
                        "theme": theme,
                        "file": str(out / f"dashboard-{board.value}-{scene}-{theme}.png"),
                    }
                    words = [
                        word
                        for part in shlex.split(command)
                        for word in (chosen if part == "{variables}" else [part.format(**facts)])
                    ]
                    subprocess.run(words, check=True)


def _traffic(site: Site) -> Iterator[None]:
    """Enqueue what is due at each step."""
    from jobtelemetry import instrument

    instrument(Config.from_env().with_overrides(extra_labels=("source",)))
    queues = {name: Queue(name, connection=site.redis) for name in ("newsletter", "catalogue")}
    queues |= {queue: Queue(queue, connection=site.redis) for _, queue, _ in TRAFFIC.values()}
    due = {name: time.monotonic() + random.random() * min(pace, 10) for name, (pace, _, _) in TRAFFIC.items()}
    digest = time.monotonic()
    meta = {"source": "cinema_city"}
    number = 0
    while True:
        for name, (pace, queue, options) in TRAFFIC.items():
            while due[name] < time.monotonic():
                number += 1
                job = queues[queue].enqueue(f"cinema.{name}", number, meta=dict(meta), **options())
                if name.endswith("refresh_movie_detail") and number % 5 == 0:
                    queues["catalogue"].enqueue(
                        "cinema.catalogue.jobs.publish_film", number, depends_on=job, meta=dict(meta)
                    )
                due[name] += pace * random.expovariate(1.0) if pace < 60 else pace
        if digest < time.monotonic():
            number += 1
            queues["newsletter"].enqueue_in(
                timedelta(seconds=20), "cinema.catalogue.jobs.send_digest", number, meta=dict(meta)
            )
            queues["newsletter"].enqueue("cinema.catalogue.jobs.send_digest", number, meta=dict(meta))
            digest += 15
        yield


def _pass(traffic: Iterator[None], seconds: float) -> None:
    """Let so much time go by."""
    pace, end = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < end:
        next(traffic)
        pace.wait(0.2)


if __name__ == "__main__":
    main()
