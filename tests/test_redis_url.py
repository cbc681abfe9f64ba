"""No message has a password in it, wherever in a URL it stands and however it is written."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from redis.exceptions import RedisError

from jobtelemetry import redis_url
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.connection import connect
from jobtelemetry.exporter.reading import explain

PLACES = [
    "redis://user:{}@127.0.0.1:1",
    "redis://:{}@127.0.0.1:1/0",
    "redis://{}@127.0.0.1:1",
    "redis://127.0.0.1:1/0?password={}",
    "redis://127.0.0.1:1?username=u&password={}",
    "redis://127.0.0.1:1/0?pasword={}",
    "rediss://:{}@",
    "rediss://:{}",
    "unix:///tmp/nobody.sock?password={}",
    "unix://user:{}@/tmp/nobody.sock",
    "redis://127.0.0.1:{}/0",
    "redis:/{}@127.0.0.1",
    ":{}@127.0.0.1",
    "http://user:{}@127.0.0.1",
]
BEGIN, END = "Zq7", "Kx9"
PASSWORDS = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda middle: f"{BEGIN}{middle}{END}") | st.lists(
    st.sampled_from([*"/?#@:%&= []", "Ab3", "1"]), max_size=6
).map(lambda parts: f"{BEGIN}{''.join(parts)}{END}")


def said_about(url: str) -> list[str]:
    """Everything that is said about a URL, from the door to a Redis that does not answer."""
    messages = [redis_url.shown(url), redis_url.scrub(f"cannot use '{redis_url.shown(url)}'.")]
    try:
        client = connect(url)
    except ConfigError as error:
        return [*messages, str(error)]
    if "127.0.0.1:1" in url or "nobody.sock" in url:  # nobody is there; a name would be looked up
        try:
            client.ping()
        except (RedisError, OSError) as error:
            messages.append(explain(error))
    return messages


@pytest.mark.parametrize("place", PLACES)
@given(password=PASSWORDS)
def test_no_piece_of_a_password_is_told(place: str, password: str) -> None:
    """Neither its beginning nor its end is in a message, whatever stands between them."""
    assume("@" in place or "?" in place or "@" not in password)  # else what follows is a host by any reading
    for message in said_about(place.format(password)):
        assert BEGIN not in message
        assert END not in message


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:pa/ss@h",
        "redis://:s3#cret@h",
        "redis://:12?3@h",
        "redis://h/mydb",
        "redis://h:99999",
        "redis://h?x=1",
        "redis://h?socket_timeout=soon",
        "redis://h?password",
        "unix://h/tmp/a.sock",
        "unix://",
        "redis:h",
    ],
)
def test_what_redis_py_would_read_otherwise_is_refused(url: str) -> None:
    """One clear sentence, before redis-py connects to a piece of the password."""
    with pytest.raises(ConfigError, match=r"^the Redis URL '.*' cannot be used: "):
        connect(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://u:p@redis.example.com:6380/1", "rediss://***@redis.example.com:6380/1"),
        ("redis://:p@ss:w@h", "redis://***@h"),
        ("redis://[::1]:6379/", "redis://[::1]:6379/"),
        ("unix:///run/redis/redis.sock?db=1", "unix:///run/redis/redis.sock?db=1"),
        ("redis://h/0?username=u&password=p", "redis://h/0?username=***&password=***"),
        ("localhost:6379", "localhost:6379"),
        ("", "***"),
    ],
)
def test_what_is_harmless_is_shown(url: str, shown: str) -> None:
    """An operator sees which Redis is meant."""
    assert redis_url.shown(url) == shown


def test_any_text_is_rid_of_them() -> None:
    """URLs inside of a text, and the passwords of connections of this process wherever they stand."""
    connect("redis://:s3cret%2Fword@127.0.0.1:1")
    text = "cannot reach redis://u:hidden@h:1/0 nor http://me:hidden@prom:9090/x - s3cret/word, s3cret%2Fword"
    assert redis_url.scrub(text) == "cannot reach redis://***@h:1/0 nor http://***@prom:9090/x - ***, ***"


@pytest.mark.parametrize("command", [["worker", "q", "--url"], ["exporter", "--check", "-u"], ["jobs", "-u"]])
def test_commands_refuse_without_telling(command: list[str]) -> None:
    """The URL is refused with exit code 2 and one line; RQ's worker does not show redis-py's words either."""
    done = subprocess.run(
        [sys.executable, "-m", "jobtelemetry", *command, "redis://user:Zq7/Kx9@h"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "percent-encode" in done.stderr
    assert "Traceback" not in done.stderr
    assert not {BEGIN, END} & {word for word in (BEGIN, END) if word in done.stdout + done.stderr}
