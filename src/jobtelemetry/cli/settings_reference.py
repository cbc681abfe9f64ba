"""Makes the table of all settings in ``docs/settings.md``: ``python -m jobtelemetry.cli.settings_reference FILE``.

What stands above the marker is written by hand and kept; what follows is made from the rows of
:class:`~jobtelemetry.config.Config`. A test makes it again and compares.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.settings import Row, as_text, rows

MARKER = "<!-- Made by python -m jobtelemetry.cli.settings_reference from here on; do not edit. -->"


def document(before: str) -> str:
    """The whole page, from the text of the page as it is."""
    kept = before.partition(MARKER)[0].rstrip()
    return f"{kept}\n\n{MARKER}\n\n{table()}"


def table() -> str:
    """The part that is made from the rows."""
    head = "| variable | in `Config` | default | what it may be | meaning |\n|---|---|---|---|---|\n"
    return head + "\n".join(_line(name, default, row) for name, default, row in rows(Config)) + "\n"


def _line(name: str, default: Any, row: Row[Any]) -> str:
    variables = ", else ".join(f"`{variable}`" for variable in row.variables)
    cells = (variables, f"`{name}`", f"`{as_text(default)}`" if default != () else "", row.kind.written, row.help)
    return f"| {' | '.join(cells)} |".replace("[HOST:]PORT", r"\[HOST:\]PORT")


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(document(page.read_text("utf-8")), "utf-8")
