"""Prints, as JSON, in which places a state is to be seen: ``python seen_states.py STATE``."""

from __future__ import annotations

import json
import logging
import sys

import click
from rich.console import Console

import jobtelemetry
from jobtelemetry import ExecutionEvent, Outcome, State
from jobtelemetry.cli import main, parameters, stats_table, terminal
from jobtelemetry.demo import display
from jobtelemetry.demo.summary import Summary, WorkerFigures
from jobtelemetry.exporter import page
from jobtelemetry.figures import summarise
from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.reference import reference
from jobtelemetry.sinks.logs import LogSink
from jobtelemetry.store.snapshot import Series, Snapshot


def places(state: State, snapshot: Snapshot) -> dict[str, bool]:
    """Place -> whether the state is there, with what its row says of it."""
    row, word = state.row, state.value
    html = page.render(snapshot, now=snapshot.taken_at)
    boards = {name: text for name, text in files(MixinConfig()).items() if name.endswith(".json")}
    table = display.table(Summary({"shop.jobs.mail": WorkerFigures()}), 120)
    console = Console(file=sys.stderr, width=200)
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("jobtelemetry").addHandler(handler)
    logging.getLogger("jobtelemetry").setLevel(logging.INFO)
    LogSink()(ExecutionEvent("e1", "j1", "shop.jobs.mail", "default", "w1", Outcome(state)))
    jobs = main.get_command(click.Context(main), "jobs")
    assert jobs is not None
    return {
        "public name": getattr(jobtelemetry.State, word.upper()) is state,
        "page: column": f">{word}</th>" in html,
        "page: colour": f".{word} {{ color: var(--{row.hue}); }}" in html,
        "page: glossary": row.meaning in html,
        "figures": state in summarise(snapshot)[0].counts,
        "stats: column": word in [column.title for column in stats_table.COLUMNS],
        "terminal: colour": console.get_style(terminal.STYLES[state]).color is not None,
        "demo: column": (word in [column.header for column in table.columns]) == row.always_shown,
        "log: message": records == [row.logged],
        "options: help": any(word in (getattr(option, "help", "") or "") for option in jobs.params),
        "options: other words": all(parameters._OTHER_WORDS[other] == word for other in row.also_called),
        "dashboards: figure": any(f"exactly: {row.meaning}." in text for text in boards.values()),
        "dashboards: colour": sum(f'"{row.hue.value.grafana}"' in text for text in boards.values()) > 1,
        "dashboards: columns": sum(f'"{word.capitalize()}"' in text for text in boards.values()) > 1,
        "reference": f"| `{word}` | {row.meaning} |" in reference(),
    }


if __name__ == "__main__":
    one = Series("shop.jobs.mail", "default")
    print(json.dumps(places(State(sys.argv[1]), Snapshot(1_750_000_000.0, seen={one: 1_750_000_000.0}))))
