"""What a setting is: one row with its default, its variables, what it may be and what it is for.

:class:`~jobtelemetry.config.Config` has the rows; reading the environment, the check of what is given in code, the
class's documentation and the page of all settings are made from them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Generic, TypeVar

from jobtelemetry.errors import ConfigError

T = TypeVar("T")

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}
_ROW = "jobtelemetry"
_PREFIX = "JOBTELEMETRY_"
#: How alike two names are that differ by a slip, and how long one is that says enough by itself.
_LIKENESS, _LEAST = 0.8, 5
#: What Kubernetes puts into the environment for a service.
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)|(^|_)PORT(_\d+_.*)?$")


class RefusedError(ValueError):
    """What was given is not what the setting may be; the text says what was given, or which part of it is wrong."""


class Kind(ABC, Generic[T]):
    """What a setting may be."""

    #: Whether an empty variable is a value, and not the same as none.
    reads_empty: ClassVar[bool] = False

    @property
    @abstractmethod
    def expected(self) -> str:
        """What it must be in code, to follow "must be"."""

    @property
    def written(self) -> str:
        """The same for a variable."""
        return self.expected

    @abstractmethod
    def read(self, text: str) -> T:
        """The value of what stands in a variable.

        Raises:
            RefusedError: It is nothing of this kind.
        """

    @abstractmethod
    def take(self, value: object) -> T:
        """The value of what was given in code.

        Raises:
            RefusedError: It is nothing of this kind.
        """


@dataclass(frozen=True)
class Row(Generic[T]):
    """What is known of a setting beside its name, its type and its default.

    Args:
        kind: What it may be.
        variables: Where it is read from; the first that is not empty counts.
        help: What it is for, in whole sentences.
    """

    kind: Kind[T]
    variables: tuple[str, ...]
    help: str


def setting(default: T, kind: Kind[T], *variables: str, help: str) -> T:
    """A field of a dataclass that is a setting."""
    # The representation of a Config goes into logs and error reports, and a URL may have a password in it.
    shown = not any(variable.endswith("URL") for variable in variables)
    return field(default=default, repr=shown, metadata={_ROW: Row(kind, variables, help)})


def rows(config: Any) -> Iterator[tuple[str, Any, Row[Any]]]:
    """Name, default and row of every setting, in order.

    Args:
        config: A dataclass of settings, or an instance of one.
    """
    for one in fields(config):
        yield one.name, one.default, one.metadata[_ROW]


def read(config: Any, environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment has, by name.

    Raises:
        ConfigError: A variable has no usable value; the message names it.
    """
    found = {}
    for name, _, row in rows(config):
        variable = next((v for v in row.variables if environ.get(v) or (row.kind.reads_empty and v in environ)), None)
        if variable is not None:
            try:
                found[name] = row.kind.read(environ[variable])
            except RefusedError as error:
                raise ConfigError(f"{variable} must be {row.kind.written}, got {error}") from None
    return found


def misspelt(config: Any, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that are no settings and look like one: name -> the one that may be meant.

    Others that begin alike are somebody's own; Kubernetes makes some of every service that is called as we are.
    """
    known = {variable for _, _, row in rows(config) for variable in row.variables if variable.startswith(_PREFIX)}
    ends = [variable.removeprefix(_PREFIX) for variable in sorted(known)]
    found = {}
    for name in sorted(set(environ) - known):
        end = name.removeprefix(_PREFIX)
        if end != name and not _OF_KUBERNETES.search(end):
            from difflib import get_close_matches  # only where there is something to say

            begun = [one for one in ends if len(end) >= _LEAST and (one.startswith(end) or end.startswith(one))]
            if meant := begun or get_close_matches(end, ends, 1, _LIKENESS):
                found[name] = _PREFIX + min(meant, key=len)  # the nearest of those that begin alike
    return found


def check(config: Any) -> Iterator[tuple[str, Any]]:
    """The settings of an instance, each as its kind takes it.

    Raises:
        ConfigError: One was given something that it cannot be; the message names it.
    """
    for name, default, row in rows(config):
        value = getattr(config, name)
        if value is default:
            yield name, value
            continue
        try:
            yield name, row.kind.take(value)
        except RefusedError as error:
            raise ConfigError(f"{type(config).__name__}({name}=...) must be {row.kind.expected}, got {error}") from None


def otherwise(config: Any, name: str) -> str:
    """For the help of an option: what counts where it is not given."""
    _, default, row = next(one for one in rows(config) if one[0] == name)
    return f"Else {', '.join(row.variables)}, or {as_text(default)}."


def as_text(value: Any) -> str:
    """A value as one would write it into its variable."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join("=".join(one) if isinstance(one, tuple) else str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def documented(config: type) -> str:
    """The docstring of a dataclass of settings: what it says itself, and every setting."""
    lines = [config.__doc__ or "", "", "Args:"]
    for name, _, row in rows(config):
        lines.append(f"    {name}: {row.help} {', '.join(f'``{one}``' for one in row.variables)}.")
    return "\n".join(lines)


@dataclass(frozen=True)
class Text(Kind[str]):
    """Any text, or one of a certain form.

    Args:
        pattern: What all of it must match; anything by default.
        form: The same in words.
    """

    pattern: str = r".+"
    form: str = "a text"

    @property
    def expected(self) -> str:
        return self.form

    def read(self, text: str) -> str:
        return self.take(text)

    def take(self, value: object) -> str:
        if not isinstance(value, str):
            raise RefusedError(f"a {type(value).__name__}")  # and not itself: a URL has a password in it
        if not re.fullmatch(self.pattern, value, re.DOTALL):
            raise RefusedError(repr(value))
        return value


@dataclass(frozen=True)
class OneOf(Kind[str]):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return " or ".join(self.words)

    def read(self, text: str) -> str:
        return self.take(text)

    def take(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise RefusedError(repr(value))
        return value


@dataclass(frozen=True)
class Flag(Kind[bool]):
    """Yes or no."""

    @property
    def expected(self) -> str:
        return "True or False"

    @property
    def written(self) -> str:
        return "1 or 0"

    def read(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise RefusedError(repr(text))
        return word in _TRUE

    def take(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise RefusedError(repr(value))
        return value


@dataclass(frozen=True)
class Whole(Kind[int]):
    """A whole number.

    Args:
        least: The smallest that may be given.
        most: The largest; none by default.
        called: What it is.
    """

    least: int
    most: int | None = None
    called: str = "a whole number"

    @property
    def expected(self) -> str:
        return f"{self.called} {_between(self.least, self.most)}"

    def read(self, text: str) -> int:
        try:
            return self.take(int(text))
        except ValueError:
            raise RefusedError(repr(text)) from None

    def take(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not _holds(value, self.least, self.most):
            raise RefusedError(repr(value))
        return value


@dataclass(frozen=True)
class Number(Kind[float]):
    """A finite number.

    Args:
        least: The smallest that may be given.
        most: The largest; none by default.
        unit: What it is in, such as seconds; it is said on the page of all settings.
    """

    least: float
    most: float | None = None
    unit: str = ""

    @property
    def expected(self) -> str:
        unit = f" of {self.unit}" if self.unit else ""
        return f"a number{unit} {_between(self.least, self.most)}"

    def read(self, text: str) -> float:
        try:
            return self.take(float(text))
        except ValueError:
            raise RefusedError(repr(text)) from None

    def take(self, value: object) -> float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not _holds(value, self.least, self.most):
            raise RefusedError(repr(value))
        return float(value)  # type: ignore[arg-type]  # it was looked at above


def _holds(value: Any, least: float, most: float | None) -> bool:
    return bool(least <= value < float("inf") and (most is None or value <= most))


def _between(least: float, most: float | None) -> str:
    return f"of at least {least:g}" if most is None else f"from {least:g} to {most:g}"


@dataclass(frozen=True)
class Choices(Kind[tuple[tuple[str, str], ...]]):
    """A choice for each of some names: pairs of a name and one of a few words.

    Args:
        name: What the names are.
        choice: What is chosen.
        words: What it can be.
    """

    name: str
    choice: str
    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"pairs of {self.name} and {self.choice}, each {self.choice} one of {', '.join(self.words)}"

    @property
    def written(self) -> str:
        return (
            f"{self.name}={self.choice} pairs with commas between them, each {self.choice} one of "
            f"{', '.join(self.words)}"
        )

    def read(self, text: str) -> tuple[tuple[str, str], ...]:
        parts = filter(None, (part.strip() for part in text.split(",")))
        return tuple(self._pair(part, *(word.strip() for word in part.rpartition("=")[::2])) for part in parts)

    def take(self, value: object) -> tuple[tuple[str, str], ...]:
        # JSON, through which settings go to a spawned process, knows lists only.
        if not isinstance(value, (tuple, list)):
            raise RefusedError(repr(value))
        return tuple(self._pair(one, *one) if _is_pair(one) else self._pair(one, "", "") for one in value)

    def _pair(self, given: object, name: str, word: str) -> tuple[str, str]:
        if not name or word not in self.words:
            raise RefusedError(repr(given))
        return name, word


@dataclass(frozen=True)
class TextOfEach(Kind[tuple[tuple[str, str], ...]]):
    """A text for each of some names.

    Args:
        name: What the names are.
        what: What the text is.
        text: What it must be.
    """

    name: str
    what: str
    text: Text

    @property
    def expected(self) -> str:
        return f"pairs of {self.name} and {self.what}, each name once, each {self.what} of {self.text.form}"

    @property
    def written(self) -> str:
        return f"{self.name}={self.what} pairs with commas between them, each {self.what} of {self.text.form}"

    def read(self, text: str) -> tuple[tuple[str, str], ...]:
        parts = filter(None, (part.strip() for part in text.split(",")))
        return self.take([tuple(word.strip() for word in part.partition("=")[::2]) for part in parts])

    def take(self, value: object) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, (tuple, list)) or not all(map(_is_pair, value)):
            raise RefusedError(repr(value))
        found = {name: self.text.take(text) for name, text in value if name}
        if len(found) != len(value):
            raise RefusedError(repr(value))
        return tuple(found.items())


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and [type(part) for part in value] == [str, str]


@dataclass(frozen=True)
class Names(Kind[tuple[str, ...]]):
    """Names of labels.

    Args:
        most: How many there may be.
        taken: Names that have another meaning.
    """

    most: int
    taken: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return f"at most {self.most} different label names (letters, digits, '_'), none of {', '.join(self.taken)}"

    @property
    def written(self) -> str:
        return f"{self.expected}, with commas between them"

    def read(self, text: str) -> tuple[str, ...]:
        return self.take(tuple(filter(None, (part.strip() for part in text.split(",")))))

    def take(self, value: object) -> tuple[str, ...]:
        # JSON, through which settings go to a spawned process, knows lists only.
        names = tuple(value) if isinstance(value, (tuple, list)) else None
        if names is None or len(names) > self.most or len(set(map(str, names))) != len(names):
            raise RefusedError(repr(value))
        for name in names:
            known = isinstance(name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name)
            if not known or name in self.taken or name.startswith("__"):
                raise RefusedError(repr(name))
        return names
