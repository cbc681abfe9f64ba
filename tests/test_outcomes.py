"""What a job may say, and what becomes of it."""

from __future__ import annotations

import ast
import colorsys
import json
import pickle
import re
from enum import Enum
from pathlib import Path

import click
import pytest
from rich.style import Style

from jobtelemetry import Cancel, Discard, InvalidReasonError, State
from jobtelemetry.cli import main
from jobtelemetry.hues import Hue
from jobtelemetry.outcomes import MATCH, RATIOS, SUCCESS
from support.package_copy import PackageCopy


class Why(str, Enum):
    NOT_MATCHED = "movie_not_matched"


@pytest.mark.parametrize("verdict", [Cancel, Discard])
def test_a_reason_is_an_identifier(verdict):
    """A text or an enum's value, if it can be a label."""
    assert verdict("movie_not_matched").reason == "movie_not_matched"
    assert verdict(Why.NOT_MATCHED).reason == "movie_not_matched"


@pytest.mark.parametrize("verdict", [Cancel, Discard])
@pytest.mark.parametrize("reason", ["", "film 4711 was not found", "x" * 65, None, 3])
def test_free_text_is_refused_at_the_door(verdict, reason):
    """A label with free text would grow without bound; the message says where the text belongs."""
    with pytest.raises(InvalidReasonError, match=r"detail=\.\.\."):
        verdict(reason)


@pytest.mark.parametrize("verdict", [Cancel("not_matched", detail="no such film"), Discard("bad_payload")])
def test_a_verdict_survives_pickling(verdict):
    """RQ pickles what a job returns."""
    again = pickle.loads(pickle.dumps(verdict))
    assert (type(again), again.reason, again.detail) == (type(verdict), verdict.reason, verdict.detail)


def test_an_uninstrumented_worker_gets_a_clear_message():
    """Where nobody understands a cancellation, the failure says so."""
    assert "not instrumented by jobtelemetry" in str(Cancel("not_matched"))


def test_the_states_are_the_contracts_words_in_their_order():
    """Everything that shows states shows them like this; what is terminal and what failed is as it always was."""
    assert [state.value for state in State] == ["completed", "cancelled", "failure", "discard", "snoozed", "stopped"]
    assert [state for state in State if not state.terminal] == [State.FAILURE, State.SNOOZED]
    assert [state for state in State if state.failed] == [State.FAILURE, State.DISCARD]
    assert State("cancelled") is State.CANCELLED is pickle.loads(pickle.dumps(State.CANCELLED))
    assert (
        json.loads(json.dumps({State.STOPPED: State.STOPPED}))
        == {"stopped": "stopped"}
        == {str(State.STOPPED): f"{State.STOPPED}"}
    )


def test_rows_do_not_contradict_each_other():
    """A status, a message, a colour or another word means one state; a job that goes on has no last status."""
    rows = [state.row for state in State]
    for facts in (
        [row.rq_status for row in rows if row.rq_status],
        [row.meaning for row in rows],
        [row.logged for row in rows],
        [row.hue for row in rows],
        [word for row in rows for word in (row.value, *row.also_called)],
    ):
        assert len(set(facts)) == len(facts)
    assert all((row.rq_status is None) != row.terminal for row in rows)
    assert State.CANCELLED.row.hue is Hue.BLUE


def test_a_ratio_says_what_it_is_made_of():
    """The formula, its states and its value agree, and the command's help and the page's glossary have it."""
    counts = {State.COMPLETED: 738, State.CANCELLED: 536, State.DISCARD: 0}
    assert [ratio.formula for ratio in RATIOS] == [
        "completed / (completed + discard)",
        "completed / (completed + cancelled)",
    ]
    assert (SUCCESS.of(counts), MATCH.of(counts)) == (1.0, 738 / 1274)
    assert SUCCESS.of({State.CANCELLED: 3}) is None
    said = main.get_command(click.Context(main), "stats").help
    assert all(ratio.formula in said for ratio in RATIOS)


_GRAFANA = {"green": "#73BF69", "blue": "#5794F2", "orange": "#FF9830", "red": "#F2495C", "purple": "#B877D9"}


def _angle(color):
    """Where on the colour circle, from 0 to 360; and how far from grey, from 0 to 1."""
    hue, _, saturation = colorsys.rgb_to_hls(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    return hue * 360, saturation


@pytest.mark.parametrize("hue", Hue)
def test_a_hue_is_the_same_on_page_dashboards_and_in_the_terminal(hue):
    """Lighter or darker, as its ground wants it, but nobody would call it by another name."""
    row = hue.value
    terminal = Style.parse(row.terminal).color.get_truecolor().hex
    colors = [row.light, row.dark, _GRAFANA.get(row.grafana, row.grafana), terminal]
    angles, saturations = zip(*map(_angle, colors), strict=True)
    if hue is Hue.GREY:
        assert max(saturations) < 0.2
    else:
        assert min(saturations) > 0.2
        assert all(min(abs(one - angles[0]), 360 - abs(one - angles[0])) < 40 for one in angles), (hue, angles)


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("hue", Hue)
def test_a_hue_can_be_read_on_the_pages_cards(hue):
    """WCAG's contrast of at least 4.5 on the light and on the dark card."""
    for color, ground in ((hue.value.light, "#ffffff"), (hue.value.dark, "#1a2027")):
        low, high = sorted((_luminance(color), _luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


_SEVENTH = """
    PAUSED = StateRow(
        "paused",
        terminal=False,
        failed=False,
        rq_status=None,
        rq_counts=None,
        meaning="somebody paused it",
        logged="job paused",
        always_shown=True,
        hue=Hue.GREY,
        also_called=("waiting",),
    )

    def __new__"""


@pytest.mark.parametrize("word", ["completed", "stopped", "paused"])
def test_a_state_is_seen_everywhere_because_of_its_row_alone(tmp_path, word):
    """A seventh state gets its row and nothing else, and no place has forgotten it."""
    copy = PackageCopy(tmp_path)
    copy.change("outcomes.py", "\n    def __new__", _SEVENTH)
    ran = copy.python(str(Path(__file__).parent / "support" / "seen_states.py"), word)
    assert ran.returncode == 0, ran.stderr
    assert [place for place, there in json.loads(ran.stdout).items() if not there] == []


def test_a_state_without_its_row_is_none(tmp_path):
    """Whoever adds a state is asked for everything that must be known of it."""
    copy = PackageCopy(tmp_path)
    copy.change(
        "outcomes.py", "\n    def __new__", '\n    PAUSED = StateRow("paused", terminal=False)\n\n    def __new__'
    )
    ran = copy.python("-c", "import jobtelemetry.outcomes")
    assert "missing" in ran.stderr
    assert "rq_counts" in ran.stderr


_WORDS = {state.value for state in State}
#: What is about RQ's own hooks and keys has its own tables.
_INNER = ("rq", "store")
_SOURCES = Path(__file__).parents[1] / "src" / "jobtelemetry"
_OUTER = [
    path
    for path in sorted(_SOURCES.rglob("*.py"))
    if path.relative_to(_SOURCES).parts[0] not in (*_INNER, "outcomes.py")
]


_PATTERN = re.compile(rf"\b({'|'.join(_WORDS)})\|({'|'.join(_WORDS)})\b")


def _states_in(node):
    """The states that stand in a list, a set or a table, as such or as words."""
    found = set()
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.Attribute) and one.attr in State.__members__:
            found.add(State[one.attr])
        elif isinstance(one, ast.Constant) and one.value in _WORDS:
            found.add(State(one.value))
    return found


@pytest.mark.parametrize("path", _OUTER, ids=lambda path: str(path.relative_to(_SOURCES)))
def test_no_module_lists_states_by_hand(path):
    """Three states beside each other, or two in a pattern, are a list that the next state would have to be added to."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            assert len(_states_in(node)) < 3, f"line {node.lineno}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not _PATTERN.search(node.value), f"line {node.lineno}"


_LIST = re.compile(
    rf"(?:`?\b(?:{'|'.join(_WORDS)})\b`?(?:, | or | and |, or |, and )){{2,}}`?\b(?:{'|'.join(_WORDS)})\b`?"
)
_KNOWN_SETS = {
    "all": set(State),
    "terminal": {state for state in State if state.terminal},
    "not failed": {state for state in State if not state.failed},
    "always shown": {state for state in State if state.row.always_shown},
}
_PAGES = [Path(__file__).parents[1] / "README.md", *sorted((Path(__file__).parents[1] / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_a_list_of_states_on_a_page_is_whole(page):
    """Wherever three or more states are listed these are all, or all that are alike in what a row says."""
    for listed in _LIST.findall(page.read_text("utf-8")):
        assert {State(word) for word in re.findall("[a-z]+", listed) if word in _WORDS} in _KNOWN_SETS.values(), listed
