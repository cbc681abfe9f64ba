"""One pass over RQ's tests, or over some of them, in a place of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.rq_suite.isolation import MARK, end_marked, free_port, own_namespaces
from tests.rq_suite.plugins.jobtelemetry_outcomes import INSTRUMENT, REPORT

HERE = Path(__file__).parent

_GRACE = 5.0  # seconds for pytest to end after its last test


@dataclass(frozen=True)
class Result:
    """What one pass found.

    Args:
        outcomes: ``passed``, ``skipped``, ``failed`` or ``unfinished`` by test.
        hook_errors: Errors that jobtelemetry's hooks swallowed: hook, error and the test during which it was.
        finished: Whether pytest came to its end within the time allowed.
        log: What pytest printed.
    """

    outcomes: dict[str, str]
    hook_errors: tuple[tuple[str, str, str], ...]
    finished: bool
    log: Path


class Pass:
    """A pass that has been started; :meth:`result` waits for it.

    Args:
        source: A folder with RQ's ``tests``; copied, so that passes at the same time do not meet.
        folder: Where this pass may write.
        instrumented: Whether RQ is instrumented.
        arguments: pytest's further arguments: tests to run, all by default.
    """

    def __init__(self, source: Path, folder: Path, *, instrumented: bool, arguments: Sequence[str] = ()) -> None:
        self._mark = uuid.uuid4().hex
        home = Path(tempfile.mkdtemp(prefix="instrumented-" if instrumented else "plain-", dir=folder))
        shutil.copytree(source, home / "rq")
        (home / "tmp").mkdir()
        self._report, self._log = home / "report.jsonl", home / "pytest.log"
        self._report.touch()
        namespaces = self._namespaces = own_namespaces()
        port = 6379 if namespaces else free_port()
        network = "own" if namespaces else "shared"
        paths = [HERE, HERE / "plugins"] + ([] if namespaces else [HERE / "redirect"])
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RQ_", "PYTEST_"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "TMPDIR": str(home / "tmp"),
            "JOBTELEMETRY_TESTS_REDIS_PORT": str(port),
            REPORT: str(self._report),
            MARK: self._mark,
        }
        if instrumented:
            environment[INSTRUMENT] = "1"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*namespaces, sys.executable, HERE / "one_pass.py", str(port), network, *(arguments or ["tests"])],
                cwd=home / "rq",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def result(self, within: float) -> Result:
        """Wait until pytest has run every test, and end whatever then still runs.

        Args:
            within: Seconds that it may take.
        """
        deadline = time.monotonic() + within
        while self._process.poll() is None and not self._finished() and time.monotonic() < deadline:
            time.sleep(0.1)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE if self._finished() else 0)
        self.end()
        outcomes, hook_errors = {}, []
        for line in map(json.loads, self._report.read_text().splitlines()):
            if "test" in line:
                outcomes[line["test"]] = line["outcome"]
            elif "hook" in line:
                hook_errors.append((line["hook"], line["error"], line["during"]))
        return Result(outcomes, tuple(hook_errors), self._finished(), self._log)

    def end(self) -> None:
        """Kill every process of this pass."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if not self._namespaces:
            end_marked(self._mark)

    def _finished(self) -> bool:
        return '{"finished": true}' in self._report.read_text()
