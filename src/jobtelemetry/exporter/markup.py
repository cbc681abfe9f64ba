"""HTML elements that escape whatever is put into them."""

from __future__ import annotations

from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


_WITHOUT_END = {"meta", "link"}


def element(name: str, /, *children: str, **attributes: str) -> Markup:
    """One element.

    Args:
        name: The tag.
        children: Plain text, which is escaped, or :class:`Markup`.
        attributes: ``data_label`` becomes ``data-label`` and ``class_`` becomes ``class``; values are escaped.
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    if name in _WITHOUT_END:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Parts one after the other; plain text is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))
