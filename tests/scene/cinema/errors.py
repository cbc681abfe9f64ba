"""What goes wrong in a cinema's pipeline."""

from __future__ import annotations


class SourceLayoutChanged(Exception):
    """The page of a film is not what it used to be."""


class UpstreamTimeout(Exception):
    """The other side did not answer in time."""


class TooManyRequests(Exception):
    """The other side has had enough."""
