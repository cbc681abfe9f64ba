"""How many faults were injected into hooks, and survived."""

from __future__ import annotations

survived: list[int] = []
injected: list[int] = []
