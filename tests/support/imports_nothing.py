"""A module of jobs that raises whenever it is asked for one, as lazy loaders do."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    raise ImportError(f"no {name} here")
