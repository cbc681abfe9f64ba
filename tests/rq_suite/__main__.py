"""The command: ``python -m tests.rq_suite [--sdist FILE] [TEST ...]``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from importlib import metadata
from pathlib import Path

from tests.rq_suite.compare import broken, suspects
from tests.rq_suite.passes import Pass, Result
from tests.rq_suite.source import download, unpack_tests


def main(arguments: list[str] | None = None) -> int:
    """Run both passes, the differing tests again, and print what was found. Returns the exit code."""
    options = _parser().parse_args(arguments)
    version = metadata.version("rq")
    folder = Path(tempfile.mkdtemp(prefix="rq-suite-"))
    try:
        archive = options.sdist or download(version, folder)
        source = folder / "source"
        unpack_tests(archive, source)
        return _Suite(source, folder, version, options).run()
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.rq_suite", description=__doc__)
    parser.add_argument("tests", nargs="*", help="pytest's arguments, 'tests/test_worker.py -k retry'; default: all")
    parser.add_argument("--sdist", type=Path, help="RQ's source distribution; downloaded with pip by default")
    parser.add_argument("--reruns", type=int, default=10, help="how often a differing test is run again in both modes")
    parser.add_argument("--time-limit", type=float, default=900, help="seconds for one pass over all tests")
    parser.add_argument("--keep", action="store_true", help="keep the folder with what pytest printed")
    return parser


class _Suite:
    def __init__(self, source: Path, folder: Path, version: str, options: argparse.Namespace) -> None:
        self._source, self._folder, self._version, self._options = source, folder, version, options

    def run(self) -> int:
        began = time.monotonic()
        plain, instrumented = self._both(self._options.tests)
        plains, instrumenteds = [plain.outcomes], [instrumented.outcomes]
        for _ in range(self._options.reruns):
            again = [test for test in suspects({}, _best(instrumenteds)) if "::" in test]
            if not again:
                break
            for runs, mode in ((plains, False), (instrumenteds, True)):  # by themselves: many are about milliseconds
                started = Pass(self._source, self._folder, instrumented=mode, arguments=again)
                runs.append(started.result(self._options.time_limit).outcomes)
        wrong = broken(plains, instrumenteds)
        self._print(plain, instrumented, plains, instrumenteds, wrong, time.monotonic() - began)
        complete = plain.finished and instrumented.finished and bool(plain.outcomes)
        return 0 if complete and not wrong and not instrumented.hook_errors else 1

    def _both(self, tests: list[str]) -> tuple[Result, Result]:
        """Both passes at the same time, each in a place of its own."""
        passes = []
        try:
            for instrumented in (False, True):
                passes.append(Pass(self._source, self._folder, instrumented=instrumented, arguments=tests))
            deadline = time.monotonic() + self._options.time_limit
            plain, instrumented_ = (each.result(max(0.0, deadline - time.monotonic())) for each in passes)
            return plain, instrumented_
        finally:
            for each in passes:
                each.end()

    def _print(
        self,
        plain: Result,
        instrumented: Result,
        plains: list[dict[str, str]],
        instrumenteds: list[dict[str, str]],
        wrong: list[str],
        seconds: float,
    ) -> None:
        print(f"RQ {self._version}'s own tests, {len(plain.outcomes)} of them, in {seconds:.0f} s")
        for title, result in (("without jobtelemetry", plain), ("instrumented", instrumented)):
            by_outcome = sorted(Counter(result.outcomes.values()).items())
            counts = ", ".join(f"{number} {outcome}" for outcome, number in by_outcome)
            print(f"  {title:<21} {counts}{'' if result.finished else '   DID NOT FINISH, see below'}")
        both = [test for test in suspects(_best(plains), _best(instrumenteds)) if test not in wrong]
        flaky = set(suspects({}, instrumented.outcomes)) - set(wrong) - set(both)
        for title, tests in (
            ("broken by instrumentation", wrong),
            ("fail in both modes, in every run", both),
            ("failed instrumented, passed when run again", sorted(flaky)),
        ):
            print(f"  {title}: {len(tests)}")
            for test in tests:
                print(f"    {test}")
        print(f"  errors inside jobtelemetry's hooks: {len(instrumented.hook_errors)}")
        for (hook, error, test), number in Counter(instrumented.hook_errors).items():
            print(f"    {number} x {hook}: {error} during {test}")
        for result in (plain, instrumented):
            if not result.finished:
                print(result.log.read_text(errors="replace")[-3000:])


def _best(runs: list[dict[str, str]]) -> dict[str, str]:
    """Each test's best outcome in any run."""
    order = ["passed", "skipped", "failed", "unfinished"]
    best: dict[str, str] = {}
    for run in runs:
        for test, outcome in run.items():
            best[test] = min(best.get(test, "unfinished"), outcome, key=order.index)
    return best


if __name__ == "__main__":
    sys.exit(main())
