"""A setting is one row; everything that must agree about it is made from that."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

from jobtelemetry import Config, ConfigError, config
from jobtelemetry.cli import settings_reference
from jobtelemetry.config import parse_listen
from jobtelemetry.settings import Whole, as_text, rows, setting

_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "settings.md"
_VARIABLES = [variable for _, _, row in rows(Config) for variable in row.variables]

#: Of every setting a value that is not its default, as it is written in a variable and as it is in code.
_CHOSEN = {
    "redis_url": ("redis://elsewhere:6380/1", "redis://elsewhere:6380/1"),
    "redis_servers_file": ("/etc/servers", "/etc/servers"),
    "listen_host": ("127.0.0.1:99", "127.0.0.1"),
    "listen_port": ("99", 99),
    "web_config_file": ("/etc/web.yml", "/etc/web.yml"),
    "route_prefix": ("/admin/jobs/", "/admin/jobs"),
    "key_prefix": ("{shop}", "{shop}"),
    "key_prefixes": ("eu=shop, us={jobs},", (("eu", "shop"), ("us", "{jobs}"))),
    "max_label_sets": ("7", 7),
    "max_own_metrics": ("0", 0),
    "max_queues": ("50", 50),
    "histogram_detail": ("duration=0.1/10,wait=off", "duration=0.1/10,wait=off"),
    "duration_states": ("together", "together"),
    "extra_labels": ("source, tenant", ("source", "tenant")),
    "log_size": ("0", 0),
    "retire_after": ("0", 0.0),
    "reconcile_interval": ("0.5", 0.5),
    "sentry_after_attempts": ("5", 5),
    "sentry_reports": ("a.b=never, c=always,", (("a.b", "never"), ("c", "always"))),
    "resources": ("off", False),
    "memory_limit": ("2147483648", 2147483648),
    "trace_relation": ("link", "link"),
    "trace_arguments": ("on", True),
    "trace_url": ("https://traces.example/{trace_id}", "https://traces.example/{trace_id}"),
    "app_version": (" v1.2.3 ", "v1.2.3"),
    "flush_timeout": ("3", 3.0),
    "strict_reasons": ("1", True),
}

#: Of every setting what it cannot be: written in a variable, and given in code.
_REFUSED = {
    "redis_url": ((), (b"redis://:secret@host", "", None)),
    "redis_servers_file": (("\x00",), (None, 3)),
    "listen_host": (("a:b:1", "host", ":x"), ("", 3)),
    "listen_port": (("65536", "-1", "host:"), (-1, 65536, "10427", True)),
    "web_config_file": (("\x00",), (None, 3)),
    "route_prefix": (("jobs", "/a b", "//x"), ("jobs", None)),
    "key_prefix": (("", "a b", "a*"), ("", "a|b", None)),
    "key_prefixes": (
        ("shop", "eu=", "=shop", "eu=a b", "eu=a,eu=b", "eu=a*"),
        ({"eu": "shop"}, "eu=shop", (("eu", "a|b"),), ("eu",), (("", "shop"),), (("eu", "a"), ("eu", "b"))),
    ),
    "max_label_sets": (("0", "1.5", "many"), (0, 1.5, "7", True)),
    "max_own_metrics": (("-1", "1.5", "many"), (-1, 1.5, "7", True)),
    "max_queues": (("0", "1.5", "many"), (0, 1.5, "7", True)),
    "histogram_detail": (("fine", "wait=off,wait=full", "duration=", "age=off"), ("fine", 3)),
    "duration_states": (("none", "Each", "completed,discard"), ("", "all", None, True)),
    "extra_labels": (("a b", "worker", "a,a", "__x", "a,b,c,d,e,f,g,h,i"), ("source", ("queue",), (1,), None)),
    "log_size": (("-1", "1e3"), (-1, 10.0)),
    "retire_after": (("-1", "never"), (-1, "90")),
    "reconcile_interval": (("-0.1", "nan", "inf", "soon"), (-1, float("nan"), float("inf"), "5", False)),
    "sentry_after_attempts": (("0", "often"), (0, "3")),
    "sentry_reports": (
        ("a.b", "a.b=sometimes", "=never"),
        ({"a": "never"}, "a=never", (("a", "b"),), ("never",), (("", "never"),)),
    ),
    "resources": (("perhaps",), ("", 0)),
    "memory_limit": (("2GiB", "-1"), (-1, "2", 1.5)),
    "trace_relation": (("child",), ("child", None)),
    "trace_arguments": (("perhaps",), ("", 0)),
    "trace_url": (("traces.example/{trace_id}", "https://traces.example/"), ("javascript:{trace_id}", 7)),
    "app_version": ((), (None, 3)),
    "flush_timeout": (("-1", "2 s"), (-0.5, "2")),
    "strict_reasons": (("always",), (1, None)),
}


@pytest.fixture(autouse=True)
def _newest_rq(monkeypatch):
    """RQ honours its prefix from 3.0 on; here the variable is looked at whatever is installed."""
    monkeypatch.setattr("jobtelemetry.config._rq_major", lambda: 3)


def test_every_setting_is_tried_here():
    """A setting that is added is added to the two tables above."""
    assert list(_CHOSEN) == list(_REFUSED) == [field.name for field in fields(Config)]


@pytest.mark.parametrize(("name", "variables"), [(name, row.variables) for name, _, row in rows(Config)])
def test_a_setting_is_read_from_its_variables(name, variables):
    """Each of its variables gives it, the first one before the others, and an empty one is none."""
    text, value = _CHOSEN[name]
    for variable in variables:
        assert getattr(Config.from_env({variable: text}), name) == value
        assert variable == "RQ_KEY_PREFIX" or Config.from_env({variable: ""}) == Config()
    everything = dict.fromkeys(variables[1:], "redis://later") | {variables[0]: text}
    assert getattr(Config.from_env(everything), name) == value
    assert getattr(Config(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("variable", "text"), [(row.variables[0], text) for name, _, row in rows(Config) for text in _REFUSED[name][0]]
)
def test_a_variable_without_sense_is_refused(variable, text):
    """The message names the variable, what was expected and what came."""
    with pytest.raises(ConfigError, match=f"^{variable} must be .*, got "):
        Config.from_env({variable: text})


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (_, values) in _REFUSED.items() for value in values]
)
def test_a_value_without_sense_in_code_is_refused_as_well(name, value):
    """At the door, and not by whoever meets it later; a URL, which may have a password in it, is not repeated."""
    with pytest.raises(ConfigError, match=rf"^Config\({name}=\.\.\.\) must be ") as caught:
        Config(**{name: value})
    assert "secret" not in str(caught.value)
    if value is not None:
        with pytest.raises(ConfigError, match=name):
            Config().with_overrides(**{name: value})


def test_what_json_makes_of_the_settings_is_taken():
    """So they go to a spawned work-horse: lists in place of tuples, whole numbers in place of others."""
    config = Config(sentry_reports=[["a", "never"]], flush_timeout=2)
    assert config == Config(sentry_reports=(("a", "never"),))
    assert asdict(config)["flush_timeout"] == 2.0
    assert isinstance(config.flush_timeout, float)


def test_an_older_rq_has_no_prefix(monkeypatch):
    """Before 3.0 RQ does not look at the variable, so nothing is there under another prefix."""
    monkeypatch.setattr("jobtelemetry.config._rq_major", lambda: 2)
    assert Config.from_env({"RQ_KEY_PREFIX": "shop"}).key_prefix == "rq"


def test_a_variable_that_looks_like_a_setting_is_named_once(monkeypatch, caplog):
    """A misspelt one says which may be meant; others with our prefix are none of our business."""
    theirs = ("MINE", "EXPORTER_SERVICE_HOST", "REDIS_URL_PORT_80_TCP", "PORT")
    for name in ("EXTRA_LABEL", "LOGSIZE", "REDIS", "LISTEN_ON", *theirs):
        monkeypatch.setenv(f"JOBTELEMETRY_{name}", "1")
    monkeypatch.setattr(config, "_said", set())
    Config.from_env()
    Config.from_env()
    assert [record.getMessage().replace("JOBTELEMETRY_", "") for record in caplog.records] == [
        "EXTRA_LABEL is no setting; did you mean EXTRA_LABELS?",
        "LISTEN_ON is no setting; did you mean LISTEN?",
        "LOGSIZE is no setting; did you mean LOG_SIZE?",
        "REDIS is no setting; did you mean REDIS_URL?",
    ]


def test_an_unknown_setting_is_refused():
    """The message has those that there are."""
    with pytest.raises(ConfigError, match=r"unknown setting colour; expected one of .*log_size"):
        Config().with_overrides(colour="red")


def test_host_and_port_are_taken_apart_for_options_as_well():
    """An IPv6 address stands in brackets, and without a host it is every address."""
    assert parse_listen("[::1]:99", option="--listen") == ("::1", 99)
    assert parse_listen(":0", option="--listen") == ("0.0.0.0", 0)
    with pytest.raises(ConfigError, match=r"^--metrics must be \[HOST:\]PORT"):
        parse_listen("::1:99", option="--metrics")


def test_a_setting_is_added_in_one_place():
    """One row: it is read, checked and documented."""

    @dataclass(frozen=True)
    class Wider(Config):
        """Settings with one more."""

        retries: int = setting(2, Whole(0, 9), "JOBTELEMETRY_RETRIES", help="How often.")

    assert Wider.from_env({"JOBTELEMETRY_RETRIES": "4"}).retries == 4
    with pytest.raises(ConfigError, match="JOBTELEMETRY_RETRIES must be a whole number from 0 to 9, got '10'"):
        Wider.from_env({"JOBTELEMETRY_RETRIES": "10"})
    with pytest.raises(ConfigError, match="retries"):
        Wider(retries=-1)


def test_the_docstring_has_every_setting():
    """With its variables: it is made from the rows."""
    for name, _, row in rows(Config):
        assert f"    {name}: {row.help}" in Config.__doc__
        assert row.help[0] + row.help[-1] == row.help[0] + "."
    assert all(f"``{variable}``" in Config.__doc__ for variable in _VARIABLES)


def test_the_page_of_settings_is_up_to_date():
    """The table is what the rows make of it."""
    page = _PAGE.read_text("utf-8")
    wanted = settings_reference.document(page)
    assert page == wanted, "run: python -m jobtelemetry.cli.settings_reference docs/settings.md"


def test_every_variable_that_the_code_reads_is_on_the_page():
    """Also those of OpenTelemetry and of Sentry; what the demo tells its own processes is nobody's setting."""
    source = "\n".join(path.read_text("utf-8") for path in (_ROOT / "src").rglob("*.py"))
    read = set(re.findall(r"\b_?((?:JOBTELEMETRY|OTEL|SENTRY)_[A-Z_]*[A-Z])\b(?!\*)", source))
    page = _PAGE.read_text("utf-8")
    missing = {name for name in read if f"`{name}`" not in page and f"`_{name}`" not in page}
    assert {name for name in missing if not name.startswith("JOBTELEMETRY_DEMO_")} == set()


@pytest.mark.parametrize(
    "page", [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_every_variable_that_a_page_names_is_there(page):
    """A variable that was renamed or removed stays nowhere."""
    named = set(re.findall(r"\bJOBTELEMETRY_[A-Z_]+", page.read_text("utf-8")))
    assert named <= set(_VARIABLES)


@pytest.mark.parametrize("page", sorted((_ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_default_in_a_table_is_the_one_of_the_row(page):
    """Where a page has a table of the settings that it is about, the defaults are those that are used."""
    defaults = {
        variable: as_text(default) if default != () else ""
        for _, default, row in rows(Config)
        for variable in row.variables
    }
    for variable, said in re.findall(r"^\| `(JOBTELEMETRY_\w+)` \| ([^|]*) ?\|", page.read_text("utf-8"), re.MULTILINE):
        assert page == _PAGE or said.strip(" `") == defaults[variable], variable


def test_the_representation_of_a_config_shows_no_url() -> None:
    """A Config in a log or in an error report gives no password away."""
    assert "s3cret" not in repr(Config(redis_url="redis://:s3cret@host/0"))
