"""Attaching hooks to classes that are not ours, looking whether they find what they need, and taking them off."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from typing import Any

#: What a handler calls to let RQ do its part.
Call = Callable[[], Any]
#: A parameter that stands for all further positional arguments.
REST = "*"


class Duty(str, Enum):
    """What a hook is there for, and so what is off where RQ does not have its method."""

    COUNT = "count"  # without it numbers would be wrong: nothing is counted
    LABEL = "label"
    SPAN = "span"
    CARE = "care"  # of what others left behind

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Hook:
    """One row of the table in :mod:`jobtelemetry.rq.hooks`.

    Args:
        owner: Where RQ has it: ``module:Class``, or ``module`` for a function.
        method: Its name there.
        room: The class that has our handler, one instance per process.
        handler: The handler's name. It gets what calls RQ's part, the object whose method it is (a function's first
            argument), and the values of ``needs`` and ``wants``.
        needs: Parameters that the method must have.
        wants: Parameters that not every supported RQ has; ``None`` where it does not.
        duty: What it is there for.
        without: What goes wrong without it, for the message.
        since: The first version of RQ that has it.
        until: The first version that no longer has it.
        optional: It is attached where it is, and not missed where it is not.
    """

    owner: str
    method: str
    room: str
    handler: str
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    duty: Duty = Duty.COUNT
    without: str = ""
    since: tuple[int, ...] = (0,)
    until: tuple[int, ...] = (99,)
    optional: bool = False

    @property
    def name(self) -> str:
        """As people write it: ``Worker.fork_work_horse``."""
        module, _, owner = self.owner.partition(":")
        return f"{owner or module.rpartition('.')[2]}.{self.method}"

    def found(self) -> tuple[Any, Any] | None:
        """The owner and what it defines under that name itself; ``None`` if RQ does not have it."""
        module, _, owner = self.owner.partition(":")
        try:
            holder = import_module(module)
            holder = getattr(holder, owner) if owner else holder
            return holder, vars(holder)[self.method]
        except (ImportError, AttributeError, KeyError):
            return None

    def expected_of(self, version: tuple[int, ...]) -> bool:
        """Whether an RQ of this version has it."""
        return not self.optional and self.since <= version < self.until

    def problem(self) -> str:
        """What this RQ lacks of it; empty for nothing."""
        found = self.found()
        if found is None:
            return f"{self.name} is not there"
        function = _function(found[1])
        names = self.parameters(function)
        lacking = [name for name in self.needs if name != REST and name not in names]
        if not lacking:
            return ""
        whose = (
            ""
            if _is_rqs(function)
            else (
                f" as {function.__module__}.{function.__qualname__} has replaced it: "
                "call instrument() before that, or let it take RQ's parameters (functools.wraps)"
            )
        )
        return f"{self.name} has no parameter {', '.join(lacking)}{whose}"

    def parameters(self, function: Any) -> list[str]:
        """The names of a call's parameters in their order.

        A wrapper of somebody else's that takes anything (``*args, **kwargs``, without ``functools.wraps``) hands it on
        to RQ's method: then these are the names in RQ's source.
        """
        if _is_rqs(function):
            return _parameters(function)
        own = inspect.signature(function).parameters
        names, kinds = list(own), {one.kind for one in own.values()}
        if not {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds:
            return names
        module, _, owner = self.owner.partition(":")
        return _in_source(module, owner, self.method) or names


class Attachments:
    """The hooks that are in place."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, Any]] = []
        self._active = [True]

    def attach(self, hook: Hook, find: Callable[[Hook], Callable[..., Any]]) -> bool:
        """Put a handler around what a hook names.

        Args:
            hook: The row.
            find: Gives its handler, when the hook is called for the first time.

        Returns:
            Whether RQ has what it names.
        """
        found = hook.found()
        if found is None:
            return False
        owner, original = found
        if isinstance(original, property):
            wrapped: Any = property(self._wrapper(hook, original.fget, find), original.fset, original.fdel)
        elif isinstance(original, classmethod):
            wrapped = classmethod(self._wrapper(hook, original.__func__, find))
        else:
            wrapped = self._wrapper(hook, original, find)
        self.replace(owner, hook.method, wrapped)
        return True

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute."""
        self._undo.append((owner, name, vars(owner)[name], value))
        setattr(owner, name, value)

    def detach(self) -> None:
        """Put everything back, last first. What somebody has put on top of ours stays, and ours below it is inert."""
        self._active[0] = False
        while self._undo:
            owner, name, original, ours = self._undo.pop()
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)

    def _wrapper(self, hook: Hook, original: Any, find: Callable[[Hook], Callable[..., Any]]) -> Any:
        plan, active = _plan(hook, original), self._active
        single, rest = plan[0] if len(plan) == 1 else None, REST in hook.wants
        handler: Any = None

        @functools.wraps(original)
        def wrapper(owner: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal handler
            if not active[0]:
                return original(owner, *args, **kwargs)
            if handler is None:
                handler = find(hook)
            call = partial(original, owner, *args, **kwargs)
            if not plan:
                return handler(call, owner)
            if single is not None and not rest:  # nearly every hook
                name, place = single
                return handler(call, owner, args[place] if place < len(args) else kwargs.get(name))
            values = [args[place] if place < len(args) else kwargs.get(name) for name, place in plan]
            return handler(call, owner, *values, args[len(plan) :]) if rest else handler(call, owner, *values)

        return wrapper


#: The place of what is no parameter of this RQ.
_NOWHERE = sys.maxsize


def _plan(hook: Hook, original: Any) -> tuple[tuple[str, int], ...]:
    """Where a call has each value, found once: at this place among the positional arguments, or by its name."""
    names = hook.parameters(original)[1:]
    wanted = [name for name in (*hook.needs, *hook.wants) if name != REST]
    return tuple((name, names.index(name) if name in names else _NOWHERE) for name in wanted)


def _parameters(function: Any) -> list[str]:
    """The names, in order. ``inspect.signature`` takes 50 us for each, and every process asks for fifty."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return list(inspect.signature(function).parameters)
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _in_source(module: str, owner: str, method: str) -> list[str]:
    """The parameters of a method, or of a function, as the source of its module declares them; none if it does not."""
    try:
        body = ast.parse(inspect.getsource(import_module(module))).body
    except (OSError, SyntaxError):  # without its source
        return []
    if owner:
        body = next((one.body for one in body if isinstance(one, ast.ClassDef) and one.name == owner), [])
    for one in body:
        if isinstance(one, ast.FunctionDef) and one.name == method:
            return [name.arg for name in (*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs)]
    return []


def _is_rqs(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] == "rq"


def _function(value: Any) -> Any:
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)


def numbers(version: str) -> tuple[int, ...]:
    """A version, as far as it is numbers."""
    found = []
    for part in version.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def missing(hooks: tuple[Hook, ...], version: tuple[int, ...]) -> Mapping[Hook, str]:
    """The hooks that an RQ of this version should have and does not, with what it lacks."""
    problems = {hook: hook.problem() for hook in hooks if hook.expected_of(version)}
    return {hook: problem for hook, problem in problems.items() if problem}
