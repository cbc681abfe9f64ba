"""Programs that do not come with Python. In CI a missing one is a failure; on a bare machine its tests are skipped."""

from __future__ import annotations

import os
import shutil

import pytest

_PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-cli": "redis-tools",
    "systemd-analyze": "systemd",
    "vmalert": "victoria-metrics",
}
#: Those that no Debian has.
_OTHERWISE = dict.fromkeys(("helm", "kubectl"), "python3 tests/deploy/tools.py /usr/local/bin brings it")


def needed(program: str) -> str:
    """The path of a program, or the end of the test that needs it."""
    path = shutil.which(program)
    if path is None:
        remedy = _OTHERWISE.get(program) or f"Debian: apt-get install {_PACKAGES.get(program, program)}"
        reason = f"{program} is not installed ({remedy})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
