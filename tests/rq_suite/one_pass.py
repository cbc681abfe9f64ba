"""Inside the namespaces of one pass: a server where RQ's tests expect it, and pytest.

Started as ``python one_pass.py PORT own|shared [pytest's arguments]``, with RQ's tests in the working directory.
"""

from __future__ import annotations

import subprocess
import sys

from isolation import loopback_up

from jobtelemetry.demo.server import EmbeddedServer


def main(port: str, network: str, *arguments: str) -> int:
    """Run pytest beside a server. Returns pytest's exit code."""
    if network == "own":
        loopback_up()
    options = ["-p", "jobtelemetry_outcomes", "-p", "no:cacheprovider", "-p", "no:timeout", "-q", "--tb=short"]
    with EmbeddedServer(port=port, bind="127.0.0.1", databases="17"):
        return subprocess.run([sys.executable, "-m", "pytest", *options, *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
