"""Entries of the log, made by hand."""

from support.entries import entry

__all__ = ["entry"]
