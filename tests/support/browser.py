"""A real browser that looks at a page: what fits, what can be read, what a screen reader finds."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.needed import needed

#: Looks at the page in a frame of the wanted width and writes down what it sees. Texts on the page have no script.
_PROBE = """
const luminance = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (view, node) => {
  for (; node; node = node.parentElement) {
    const colour = view.getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
function look() {
  const frame = document.querySelector("iframe"), view = frame.contentWindow, page = frame.contentDocument;
  const faint = [];
  for (const node of page.body.querySelectorAll("*")) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || !node.getClientRects().length) continue;
    const style = view.getComputedStyle(node);
    const [light, dark] = [luminance(style.color), luminance(ground(view, node))].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) faint.push([node.textContent.trim().slice(0, 40), node.className, contrast.toFixed(2)]);
  }
  const count = query => page.querySelectorAll(query).length;
  document.querySelector("#seen").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth, height: page.documentElement.scrollHeight, faint: faint,
    ground: view.getComputedStyle(page.body).backgroundColor,
    landmarks: ["header", "nav", "main", "footer", "h1"].map(count),
    tables: count("table"), named: count("table > caption"),
    heads: count("th"), scoped: count("th[scope]"), rows: count("tbody > tr"),
    pictures: count("svg"), told: count("svg[role=img][aria-label]"), text: page.body.innerText,
  });
}
"""


@dataclass(frozen=True)
class Seen:
    """What the browser found; ``faint`` are texts with less contrast than WCAG's AA asks for."""

    width: int
    height: int
    faint: list[Any]
    ground: str
    landmarks: list[int]
    tables: int
    named: int
    heads: int
    scoped: int
    rows: int
    pictures: int
    told: int
    text: str


def look(page: str, folder: Path, width: int = 1280, *, dark: bool = False) -> Seen:
    """Open a page in Chromium.

    Args:
        page: The document.
        folder: For the browser's own files.
        width: Of the window, in CSS pixels.
        dark: Whether the user likes it dark.
    """
    harness = folder / "harness.html"
    frame = (
        f'<iframe width="{width}" height="900" style="border:0" onload="look()" srcdoc="{html.escape(page)}"></iframe>'
    )
    harness.write_text(f"<!DOCTYPE html><script>{_PROBE}</script>{frame}<pre id=seen></pre>", "utf-8")
    dom = chromium(folder, "--dump-dom", harness.as_uri(), dark=dark)
    told = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert told, dom[-500:]
    return Seen(**json.loads(html.unescape(told.group(1))))


def chromium(folder: Path, *arguments: str, dark: bool = False) -> str:
    """Run Chromium once, without a display; what it wrote to its output."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [
            needed("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--window-size=2000,1200",
            f"--user-data-dir={folder / 'profile'}",
            *scheme,
            *arguments,
        ],
        capture_output=True,
        timeout=90,
    )
    return done.stdout.decode("utf-8", "replace")
