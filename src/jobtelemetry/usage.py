"""What an execution takes of its host: processor time, the peak of its memory, and how much memory there is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

try:
    import resource
except ImportError:  # Windows, where jobs are enqueued and no RQ worker runs
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from resource import struct_rusage

#: Bytes in one of ``ru_maxrss``.
_UNIT = 1 if sys.platform == "darwin" else 1024
_STATUS = "/proc/self/status"


@dataclass(frozen=True)
class Usage:
    """What an execution took.

    Args:
        cpu: Seconds of processor time, its own, the kernel's for it, and of the programs that it started and waited
            for; ``None`` if nobody knows.
        memory: Bytes by which its process grew at most, or the largest of the programs that it started if that was
            larger; ``None`` if nobody knows.
    """

    cpu: float | None = None
    memory: int | None = None


#: Nothing is known.
UNKNOWN = Usage()


@dataclass(frozen=True)
class Meter:
    """From when a process is measured.

    A work-horse that was forked begins with the pages of its RQ worker, so what it had then is taken off. ``ru_maxrss``
    begins there as well on Linux; in one that was spawned it begins with the *peak* of the process that spawned it,
    and only ``VmHWM`` of ``/proc/self/status`` is its own.

    Args:
        cpu: Seconds that the process had used before.
        memory: Bytes that it held; ``None`` in a process that runs one job after the other, where memory that was
            freed stays with the process and no peak is any job's own.
        floor: Bytes below which ``ru_maxrss`` says nothing of this process.
    """

    cpu: float = 0.0
    memory: int | None = None
    floor: int = 0

    @classmethod
    def of_horse(cls, *, spawned: bool) -> Meter | None:
        """In a work-horse as it begins; all its processor time is its execution's."""
        if resource is None:
            return None
        floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
        return cls(memory=_own_peak() or floor if spawned else floor, floor=floor)

    @classmethod
    def of_process(cls) -> Meter | None:
        """In a process that runs one job after the other, as a job begins."""
        return None if resource is None else cls(cpu=_seconds(*_both()))

    def read(self) -> Usage:
        """What was taken until now."""
        own, children = _both()
        cpu = max(0.0, _seconds(own, children) - self.cpu)
        if self.memory is None:
            return Usage(cpu)
        peak = own.ru_maxrss * _UNIT
        if self.floor != self.memory:
            peak = _own_peak() or peak
        return Usage(cpu, _grown(self.memory, peak, children.ru_maxrss * _UNIT))

    def told(self) -> tuple[int, int]:
        """What :func:`of_ended` needs to know of a process that can no longer be asked."""
        return self.memory or 0, self.floor


def of_ended(rusage: struct_rusage, told: tuple[int, int] | None) -> Usage:
    """What a work-horse took that has ended, however it did.

    Args:
        rusage: As ``os.wait4`` gave it.
        told: What its :meth:`Meter.told` was; ``None`` if it died before it could say so.
    """
    cpu, peak = _seconds(rusage), rusage.ru_maxrss * _UNIT
    if told is None:
        return Usage(cpu)
    memory, floor = told
    if floor != memory and peak <= floor:
        return Usage(cpu)  # spawned, and never larger than its RQ worker: how large, nobody can say any more
    return Usage(cpu, max(0, peak - memory))


def job_memory_limit(known: int = 0, *, spawns: bool = False) -> int | None:
    """Bytes that a job can take before the control group of this RQ worker is full, about.

    That is the limit of the group, or of the smallest around it, less what this process holds.

    Args:
        known: The limit in bytes, where somebody has said it; 0 to ask the control group.
        spawns: Whether a work-horse is a Python of its own, which holds as much again before its job begins.

    Returns:
        ``None`` where there is no limit, or no control group of version 2.
    """
    limit, held = known or cgroup_limit(), _held()
    return None if limit is None or held is None else max(0, limit - held * (2 if spawns else 1))


def cgroup_limit(of: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int | None:
    """The smallest ``memory.max`` of this process's control group (version 2) and those around it, in bytes.

    Args:
        of: The file that says which group it is.
        root: Where the groups are mounted.
    """
    try:
        groups = [line.partition("::")[2].strip() for line in Path(of).read_text("utf-8").splitlines()]
    except OSError:
        return None
    group = next(filter(None, groups), None)
    if group is None:
        return None
    inside = PurePosixPath(group.lstrip("/"))
    limits = [_limit(Path(root) / part / "memory.max") for part in (inside, *inside.parents)]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None


def _both() -> tuple[struct_rusage, struct_rusage]:
    return resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)


def _seconds(*used: struct_rusage) -> float:
    return sum(one.ru_utime + one.ru_stime for one in used)


def _grown(before: int, peak: int, child: int) -> int:
    # A program that was started begins with the size of who started it, so a larger one has been so itself.
    return child if child > peak else max(0, peak - before)


def _own_peak() -> int | None:
    """``VmHWM`` of this process in bytes; ``None`` where the kernel does not say it."""
    try:
        with open(_STATUS, "rb") as status:  # noqa: PTH123 - a tenth of the time that a Path takes
            _, _, rest = status.read().partition(b"VmHWM:")
        return int(rest.split(None, 1)[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def _held() -> int | None:
    """Bytes that this process holds now."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - as above
            return int(statm.read().split()[1]) * (resource.getpagesize() if resource is not None else 0)
    except (OSError, ValueError, IndexError):
        return None
