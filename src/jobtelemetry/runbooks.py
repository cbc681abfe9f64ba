"""The runbooks that come with the package."""

from __future__ import annotations

from pathlib import Path


def names() -> list[str]:
    """The alerts that have one, sorted; that is every alert."""
    return sorted(page.name.removesuffix(".md") for page in _folder().iterdir() if page.name.endswith(".md"))


def text(name: str) -> str:
    """A runbook as Markdown.

    Args:
        name: One of :func:`names`.
    """
    return (_folder() / f"{name}.md").read_text(encoding="utf-8")


def _folder() -> Path:
    """Beside this module in a wheel; in a checkout, which is installed as it stands, where they are written."""
    here = Path(__file__).resolve().parent
    packed = here / "runbook_pages"
    return packed if packed.is_dir() else here.parents[1] / "docs" / "runbooks"
