"""Our commands inside a transaction that RQ builds and executes.

RQ must not notice them: their replies are taken out of what ``execute()`` returns, and if Redis refuses them (no
permission, scripting switched off) the transaction is executed again without them. Redis refuses when a command is
queued, so nothing of the first try has been applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError, WatchError

from jobtelemetry.rq.probe import has_no_scripts, probe
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store.record import append_own_errors
from jobtelemetry.store.scripts import execute, run_again

_COMMAND_NUMBER = re.compile(r"Command # (\d+) ")
#: Worker, queue and the extra labels.
Labels = tuple[str, str, tuple[tuple[str, str], ...]]
#: What makes a command when the transaction is complete, from the commands that it has.
Late = Callable[[list[Any]], tuple[Any, ...]]
#: A command in the pipeline's stack, what takes its reply, and what prepares RQ for building the transaction again.
_Ours = tuple[Any, Callable[[Any], None] | None, Callable[[], None] | None]

_ATTRIBUTE = "_jobtelemetry_piggyback"


def piggyback(pipeline: Any, runtime: Runtime) -> Piggyback:
    """The piggyback of a pipeline; attached at the first call."""
    attached = pipeline.__dict__.get(_ATTRIBUTE)
    if attached is None:
        attached = Piggyback(pipeline, runtime)
        setattr(pipeline, _ATTRIBUTE, attached)
        pipeline.execute = attached.execute
    return attached  # type: ignore[no-any-return]


class Piggyback:
    """Appends commands to one redis-py pipeline and hears their replies. See the module's docstring."""

    def __init__(self, pipeline: Any, runtime: Runtime) -> None:
        self._pipeline = pipeline
        self._runtime = runtime
        self._execute = pipeline.execute
        self._ours: list[_Ours] = []
        self._late: list[tuple[Any, Late]] = []
        self._tally: list[tuple[Labels, Any]] = []
        self._append_tally: Callable[[Piggyback, Mapping[Labels, int]], None] | None = None

    @property
    def buffers(self) -> bool:
        """Whether a command appended now waits for ``execute()``; while watching, redis-py sends at once."""
        return not self._pipeline.watching or bool(self._pipeline.explicit_transaction)

    def append(
        self,
        command: Callable[[Any], Any],
        on_reply: Callable[[Any], None] | None = None,
        on_rebuild: Callable[[], None] | None = None,
    ) -> bool:
        """Append what ``command(pipeline)`` appends.

        Args:
            command: Appends exactly one command to the pipeline.
            on_reply: Gets the reply, or the exception that stands for it.
            on_rebuild: Called before RQ has to build the transaction again because of us.

        Returns:
            Whether it was appended.
        """
        if self._runtime.suspended or (self._runtime.refused and not self._permitted()):
            return False
        if not self.buffers:  # what RQ writes is written at once, and so is ours
            reply = self._at_once(command)
            if on_reply is not None:
                on_reply(reply)
            return True
        command(self._pipeline)
        self._ours.append((self._pipeline.command_stack[-1], on_reply, on_rebuild))
        return True

    def append_late(
        self,
        make: Late,
        on_reply: Callable[[Any], None],
        on_rebuild: Callable[[], None] | None = None,
    ) -> bool:
        """Append a command here that is made when the transaction is executed, and knows what else is in it.

        Returns:
            Whether it was appended.
        """
        if not self.buffers:
            return self.append(lambda pipe: pipe.execute_command(*make([])), on_reply, on_rebuild)
        if not self.append(lambda pipe: pipe.execute_command("PING"), on_reply, on_rebuild):
            return False
        self._late.append((self._pipeline.command_stack[-1], make))
        return True

    def _make_late(self) -> None:
        """Put the commands in their places; one that cannot be made is left out."""
        late, self._late = self._late, []
        for placeholder, make in late:
            stack = self._pipeline.command_stack
            place = next((number for number, command in enumerate(stack) if command is placeholder), None)
            if place is None:  # of a transaction that RQ gave up
                continue
            mine = next((ours for ours in self._ours if ours[0] is placeholder), None)
            made = None
            with self._runtime.fence("record"):
                made = (make(stack), placeholder[1])
            if mine is not None:
                self._ours.remove(mine)
            if made is None:
                del stack[place]
            else:
                stack[place] = made
                if mine is not None:
                    self._ours.append((made, *mine[1:]))

    def _at_once(self, command: Callable[[Any], Any]) -> Any:
        pipe = Redis(connection_pool=self._pipeline.connection_pool).pipeline(transaction=False)
        command(pipe)
        return execute(pipe)[0]

    def _permitted(self) -> bool:
        """Try again what Redis has refused, by ourselves: RQ's transaction is not for trying."""
        problem = probe(Redis(connection_pool=self._pipeline.connection_pool), self._runtime.keys)
        if problem:
            self._runtime.suspend()
        else:
            self._runtime.resume()
        return not problem

    def tally(self, labels: Labels, append: Callable[[Piggyback, Mapping[Labels, int]], None]) -> None:
        """Count one in a label set, together with the command that was appended last.

        All are written by one call of ``append(piggyback, counts)`` when the pipeline is executed, however many
        jobs it carries.
        """
        if self._pipeline.command_stack:
            self._tally.append((labels, self._pipeline.command_stack[-1]))
            self._append_tally = append

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """What ``pipeline.execute`` would do and return without us."""
        if self._tally:
            with self._runtime.fence("enqueue"):
                self._flush_tally()
        if self._late:
            with self._runtime.fence("record"):
                self._make_late()
        with self._runtime.fence("record"):
            self._flush_own_errors()
        ours, self._ours = self._ours, []
        pipeline = self._pipeline
        stack = list(pipeline.command_stack)
        # Where ours are; a transaction that RQ gave up took its own with it.
        places = {place: mine for place, command in enumerate(stack) for mine in ours if command is mine[0]}
        if not places:
            return self._execute(raise_on_error)  # type: ignore[no-any-return]
        scripts, watching = set(pipeline.scripts), pipeline.watching
        try:
            replies = self._execute(raise_on_error=False)
        except ResponseError as error:
            if not _refused(error, places):
                raise
            if has_no_scripts(str(error)):
                self._runtime.without_scripts(str(error))
            else:
                self._runtime.suspend(error)
            if watching:
                # What was watched is no longer; RQ builds the transaction again, and we stay out of it.
                for _, _, on_rebuild in ours:
                    with self._runtime.fence("record"):
                        if on_rebuild is not None:
                            on_rebuild()
                raise WatchError("jobtelemetry's commands were refused") from error
            pipeline.command_stack = [command for place, command in enumerate(stack) if place not in places]
            pipeline.scripts = scripts
            return self._execute(raise_on_error)  # type: ignore[no-any-return]
        return self._theirs(stack, places, replies, raise_on_error)

    def _theirs(
        self, stack: list[Any], places: dict[int, _Ours], replies: list[Any], raise_on_error: bool
    ) -> list[Any]:
        """Deliver the replies to our commands; return the others, or raise the first error among them."""
        for place, (command, on_reply, _) in places.items():
            with self._runtime.fence("record"):
                reply = replies[place]
                if isinstance(reply, NoScriptError):
                    reply = self._again(command[0])
                if on_reply is not None:
                    on_reply(reply)
        for place, reply in enumerate(replies):
            if raise_on_error and isinstance(reply, ResponseError) and place not in places:
                self._pipeline.annotate_exception(reply, place + 1, stack[place][0])
                raise reply
        return [reply for place, reply in enumerate(replies) if place not in places]

    def _again(self, command: Any) -> Any:
        """Redis did not know one of our scripts; RQ's part of the transaction is done."""
        try:
            return run_again(Redis(connection_pool=self._pipeline.connection_pool), command)
        except RedisError as error:
            return error

    def _flush_tally(self) -> None:
        tally, self._tally = self._tally, []
        present = set(map(id, self._pipeline.command_stack))
        counts: dict[Labels, int] = {}
        for labels, command in tally:
            if id(command) in present:
                counts[labels] = counts.get(labels, 0) + 1
        if counts and self._append_tally and not self._runtime.suspended:
            self._append_tally(self, counts)

    def _flush_own_errors(self) -> None:
        """Our own errors travel with whatever else of ours does, until Redis has said that it has them."""
        errors = self._runtime.own_errors
        if not errors or not self._ours:
            return

        def on_reply(reply: Any) -> None:
            if not isinstance(reply, Exception):
                self._runtime.written(errors)

        self.append(lambda pipe: append_own_errors(pipe, self._runtime.keys, errors), on_reply)


def write_own_errors(connection: Any, runtime: Runtime) -> None:
    """Write errors of our hooks that no transaction has taken along.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    if errors := runtime.own_errors:
        pipe = connection.pipeline(transaction=False)
        append_own_errors(pipe, runtime.keys, errors)
        execute(pipe)
        runtime.written(errors)


def _refused(error: ResponseError, places: Mapping[int, _Ours]) -> bool:
    """Whether Redis aborted the transaction because of one of our commands, before applying any of it."""
    found = _COMMAND_NUMBER.match(str(error))
    return found is not None and int(found[1]) - 1 in places
