"""The command: ``python -m tests.memory --executions 100000``."""

from __future__ import annotations

import argparse
import sys

from .growth import Sizes, grow, problems


def main() -> int:
    """Run, print what Redis held at each checkpoint, and say what grew. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.memory", description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000, help="how many; half of them are cancelled")
    parser.add_argument("--checkpoints", type=int, default=10, help="how often Redis is looked at")
    options = parser.parse_args()
    found = problems(grow(options.executions, options.checkpoints, _print))
    for problem in found:
        print(f"grown: {problem}")
    print("flat" if not found else f"{len(found)} have grown")
    return 1 if found else 0


def _print(sizes: Sizes) -> None:
    ours = {key: entries for key, entries in sizes.entries.items() if ":telemetry:" in key or ":canceled:" in key}
    memory = f"{sizes.memory / 1024:8.0f} KiB in {len(sizes.entries)} keys"
    print(f"{sizes.executions:>7} executions: {memory}, {ours}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
