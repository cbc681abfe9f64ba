"""Colours, units and thresholds: the same thing looks the same on every dashboard.

The colours are names of Grafana's palette, so that they change with its theme.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from jobtelemetry.outcomes import State

GOOD, WARN, BAD, NEUTRAL = "green", "orange", "red", "text"

STATE_COLORS: dict[str, str] = {state.value: state.row.hue.value.grafana for state in State}

#: Of an RQ worker, and of a queue's jobs.
STATUS_COLORS: dict[str, str] = {
    "busy": "blue",
    "idle": "green",
    "started": "purple",
    "suspended": "orange",
    "queued": "blue",
    "intermediate": "super-light-blue",
    "scheduled": "purple",
    "deferred": "yellow",
    "ready_to_enqueue": "light-yellow",
    "rate_limited": "orange",
}

#: Of error types, and of reasons to cancel: the one that comes most often first. No error looks like something good,
#: and no reason like something bad.
ERROR_COLORS = ("red", "orange", "purple", "yellow", "dark-red")
REASON_COLORS = ("blue", "light-purple", "super-light-blue", "dark-purple", "dark-blue")

QUANTILE_COLORS: dict[str, str] = {"p50": "super-light-blue", "p95": "blue", "p99": "dark-blue"}

#: Below this part of the error budget nobody needs to know how far.
LEAST_BUDGET = -1.0

#: Of an age over time: whole numbers of minutes on the axis, where Grafana's seconds would read 4.17 mins.
MINUTES = "suffix:min"
SECONDS, PERCENT, PER_MINUTE, COUNT, FROM_NOW = "s", "percentunit", "opm", "none", "dateTimeFromNow"
BYTES = "decbytes"


def steps(base: str, *rising: tuple[float, str]) -> build.ThresholdsConfig:
    """Colours from a value on: ``steps("green", (1, "red"))``."""
    thresholds = [model.Threshold(value=None, color=base)]
    thresholds += [model.Threshold(value=value, color=color) for value, color in rising]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)


def fixed(color: str) -> build.FieldColor:
    """One colour, whatever the value."""
    return build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(color)


def by_threshold() -> build.FieldColor:
    """The colour of the threshold."""
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def prop(name: str, value: object) -> model.DynamicConfigValue:
    """One property of an override."""
    return model.DynamicConfigValue(id_val=name, value=value)


def color(name: str) -> model.DynamicConfigValue:
    """The override that gives a series its colour."""
    return prop("color", {"mode": "fixed", "fixedColor": name})
