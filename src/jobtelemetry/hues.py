"""The colours that mean something, each in one row: how the page, a dashboard and a terminal write the same hue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class HueRow:
    """One hue.

    Args:
        name: What it is called.
        light: On the page, on a light ground.
        dark: On the page, on a dark ground.
        grafana: In Grafana: a name of its palette, which changes with its theme, or a colour.
        terminal: In rich's words. What may be named after the terminal's own palette is, so that it suits its ground.
    """

    name: str
    light: str
    dark: str
    grafana: str
    terminal: str


class Hue(Enum):
    """A hue, by its row."""

    GREEN = HueRow("green", "#187a40", "#49b877", grafana="green", terminal="green")
    BLUE = HueRow("blue", "#486ac0", "#86a4ee", grafana="blue", terminal="bright_blue")
    ORANGE = HueRow("orange", "#9c5b00", "#e7a13c", grafana="orange", terminal="dark_orange")
    RED = HueRow("red", "#c22d26", "#ff7a70", grafana="red", terminal="bold red")
    PURPLE = HueRow("purple", "#8443b5", "#c39aeb", grafana="purple", terminal="medium_orchid")
    GREY = HueRow("grey", "#667180", "#98a3b0", grafana="#8E96A3", terminal="grey58")

    def __str__(self) -> str:
        return self.value.name
