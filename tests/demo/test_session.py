"""Ending a session, whatever its processes did to get away."""

import subprocess
import sys

from jobtelemetry.demo import session

FAMILY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setpgrp()
        os.fork()
        time.sleep(600)
print("ready", flush=True)
time.sleep(600)
"""


def test_ends_all_process_groups():
    """Children and grandchildren end, in process groups of their own and deaf to SIGTERM as they may be."""
    leader = subprocess.Popen([sys.executable, "-c", FAMILY], start_new_session=True, stdout=subprocess.PIPE)
    assert leader.stdout.readline() == b"ready\n"
    assert len(session.members(leader.pid)) >= 4
    assert session.end(leader.pid)
    assert session.members(leader.pid) == []
    leader.wait()
    leader.stdout.close()


def test_spares_other_sessions():
    """A process of another session is not among the members."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        assert other.pid not in session.members(1)
        assert session.members(other.pid) == [other.pid]
        other.kill()


def test_ps_knows_the_same_processes():
    """Where there is no /proc, ps lists the living processes instead."""
    with subprocess.Popen(["sleep", "600"]) as child:
        assert child.pid in set(session._listed_by_ps())
        child.kill()
