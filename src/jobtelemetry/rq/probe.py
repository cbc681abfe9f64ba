"""What an operator does where recording is not possible, which :func:`probe` tries."""

from __future__ import annotations

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.probe import is_refusal, missing_rules, probe

__all__ = ["has_no_scripts", "probe", "remedy"]

#: What Redis says, or ``probe.lua`` does -> what to do.
_ADVICE = {
    "UNKNOWN COMMAND": "recording needs the commands of Redis 5 and Lua, under their own names",
    "READONLY": "connect the worker to the primary; RQ cannot run jobs on a read-only replica either",
    "READ ONLY": "connect the worker to the primary; RQ cannot run jobs on a read-only replica either",
    "OOM": "raise maxmemory or free memory; RQ cannot store results either",
    "MAXMEMORY": "raise maxmemory or free memory; RQ cannot store results either",
    "HOLDS A": "another program uses that key: rename or delete it, then restart the worker",
}


def has_no_scripts(problem: str) -> bool:
    """Whether it is a server that runs no Lua at all, as a stand-in for tests does."""
    word = problem.upper()
    return "UNKNOWN COMMAND" in word and "EVAL" in word


def remedy(problem: str, keys: Keys) -> str:
    """What an operator does about a problem that :func:`probe` found."""
    if has_no_scripts(problem):
        return "this server has no Lua scripts (fakeredis: pip install 'fakeredis[lua]'); jobs run, nothing is recorded"
    if is_refusal(problem):
        rules = " ".join(missing_rules(problem, keys)) or f"+eval +evalsha ~{keys.prefix}:*"
        return f"allow it to this Redis user (ACL: {rules}); jobtelemetry doctor --as worker, as that user, tries all"
    word = problem.upper()
    for said, advice in _ADVICE.items():
        if said in word:
            return advice
    return "see the message; recording starts again at the next maintenance (every 10 minutes) once it works"
