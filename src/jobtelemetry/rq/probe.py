"""What an operator does where recording is not possible, which :func:`probe` tries."""

from __future__ import annotations

from jobtelemetry.store.probe import probe

__all__ = ["has_no_scripts", "probe", "remedy"]


def has_no_scripts(problem: str) -> bool:
    """Whether it is a server that runs no Lua at all, as a stand-in for tests does."""
    word = problem.upper()
    return "UNKNOWN COMMAND" in word and "EVAL" in word


def remedy(problem: str) -> str:
    """What an operator does about a problem that :func:`probe` found."""
    if has_no_scripts(problem):
        return "this server has no Lua scripts (fakeredis: pip install 'fakeredis[lua]'); jobs run, nothing is recorded"
    word = problem.upper()
    if "NOPERM" in word or "PERMISSION" in word or "UNKNOWN COMMAND" in word:
        return "allow EVAL, EVALSHA and our keys to this Redis user (ACL: +eval +evalsha ~rq:telemetry:*)"
    if "READONLY" in word or "READ ONLY" in word:
        return "connect the worker to the primary; RQ cannot run jobs on a read-only replica either"
    if "OOM" in word or "MAXMEMORY" in word:
        return "raise maxmemory or free memory; RQ cannot store results either"
    if "HOLDS A" in word:
        return "another program uses that key: rename or delete it, then restart the worker"
    return "see the message; recording starts again at the next maintenance (every 10 minutes) once it works"
