"""Makes ``docs/mixin-settings.md`` from the comments of :class:`MixinConfig`.

``python -m jobtelemetry.mixin.settings_reference > docs/mixin-settings.md``; a test makes it again and compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobtelemetry.mixin import config
from jobtelemetry.mixin.config import MixinConfig, shown

_HEAD = """# Settings of the mixin

<!-- Made by `python -m jobtelemetry.mixin.settings_reference > docs/mixin-settings.md`; change the comments in
src/jobtelemetry/mixin/config.py, not this file. -->

What dashboards, rules and alerts are made for: `jobtelemetry mixin build --out monitoring --set slo=99.5`, with `--set`
as often as you like. Durations are written as Prometheus writes them (`5m`, `1h30m`), several values with commas
between them. Where to begin is in [alerts for your objective](objective.md).
"""
_SECTION = re.compile(r"    # --- (.*?) -+$")
_COMMENT = re.compile(r"    #: ?(.*)$")
_FIELD = re.compile(r"    ([a-z_0-9]+): ")


@dataclass
class _Section:
    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)


def reference() -> str:
    """The whole page."""
    defaults = MixinConfig()
    parts = [_HEAD]
    for section in _sections():
        parts += [f"## {section.title}\n", "| setting | default | meaning |", "|---|---|---|"]
        for name, meaning in section.rows:
            value = shown(getattr(defaults, name)).replace("|", "\\|")
            parts.append(f"| `{name}` | {f'`{value}`' if value else 'none'} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def _sections() -> Iterator[_Section]:
    """The fields under their headings; one without a comment of its own goes on where the one before it stopped."""
    section: _Section | None = None
    said: list[str] = []
    for line in inspect.getsource(config.MixinConfig).splitlines():
        if found := _SECTION.match(line):
            if section is not None:
                yield section
            section, said = _Section(found[1]), []
        elif found := _COMMENT.match(line):
            said.append(found[1])
        elif section is not None and (found := _FIELD.match(line)):
            section.rows.append((found[1], _markdown(" ".join(said)) or "as above"))
            said = []
        elif line.startswith("    def "):
            break
    if section is not None:
        yield section


def _markdown(comment: str) -> str:
    """Sphinx's marks as Markdown's."""
    plain = re.sub(r":\w+:`[~]?(?:\w+\.)*(\w+)`", r"`\1`", comment)
    return plain.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is what it is for
