"""The page about traces says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from jobtelemetry.rq import consumer, producer
from jobtelemetry.sinks import tracing

ATTRIBUTE = r"(?:messaging|rq|error)\.[a-z_.]+[a-z]"
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tracing.md").read_text("utf-8")


def test_every_attribute_is_documented() -> None:
    """The page names the attributes that the code sets, and no others."""
    sources = "".join(Path(module.__file__).read_text("utf-8") for module in (tracing, consumer, producer))
    set_by_code = set(re.findall(f'"({ATTRIBUTE})"', sources))
    table = PAGE[PAGE.index("## The attributes") : PAGE.index("## Status and events")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(f"`({ATTRIBUTE})`", row)} == set_by_code


def test_the_version_of_the_conventions_is_stated() -> None:
    """The page names the version that the schema URL has."""
    assert f"version {tracing.SCHEMA_URL.rpartition('/')[2]} " in PAGE
    assert tracing.SCOPE in PAGE


def test_every_span_is_documented() -> None:
    """The page names every span."""
    sources = "".join(Path(module.__file__).read_text("utf-8") for module in (tracing, producer))
    names = set(re.findall(r'f"(\w+) \{queue(?:\.name)?\}"', sources))
    assert names == {"enqueue", "create", "send", "process"}
    assert all(f"`{name} {{queue}}`" in PAGE for name in names)
