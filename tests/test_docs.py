"""The documentation speaks of code that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_SOURCES = _ROOT / "src" / "jobtelemetry"
_PAGES = sorted([_ROOT / "README.md", *(_ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    """A path such as ``rq/parent.py`` exists, and what is named behind a colon is in it."""
    for path, name in re.findall(r"((?:[a-z_]+/)+[a-z_]+\.(?:py|lua))(?:: (?:\w+\.)?(\w+)`)?", page.read_text()):
        source = next((root / path for root in (_SOURCES, _ROOT) if (root / path).is_file()), None)
        assert source is not None, f"{page.name} names {path}"
        assert not name or name in source.read_text(), f"{page.name} says {name} is in {path}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Every relative link and picture is in the repository."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", page.read_text()):
        link = "".join(target)
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"
