"""A network of hosts in namespaces of its own: each host has one link to one switch, and a link can be cut.

Nothing of it has a name on this machine. A namespace lives as long as the process that holds it, and that ends with
this one.
"""

from __future__ import annotations

import subprocess
from types import TracebackType

_SUBNET = "10.77.0"


class Host:
    """A network namespace with one address."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.address = f"{_SUBNET}.{number}"
        self._holder = _hold()

    @property
    def pid(self) -> int:
        """The process that holds the namespace."""
        return self._holder.pid

    @property
    def inside(self) -> list[str]:
        """What to put before a command so that it runs on this host."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def run(self, *command: str) -> str:
        """Run a command on this host and return what it printed."""
        return subprocess.run([*self.inside, *command], check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        """Let go of the namespace."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


class Network:
    """A switch and the hosts that are plugged into it."""

    def __init__(self) -> None:
        self._switch = Host(254)
        self._hosts: list[Host] = []
        self._switch.run("ip", "link", "add", "switch", "type", "bridge")
        self._switch.run("ip", "link", "set", "switch", "up")

    def host(self) -> Host:
        """One more host, plugged in."""
        host = Host(len(self._hosts) + 1)
        self._hosts.append(host)
        port = f"port{host.number}"
        peer = ["peer", "name", "eth0", "netns", str(host.pid)]
        self._switch.run("ip", "link", "add", port, "type", "veth", *peer)
        self._switch.run("ip", "link", "set", port, "master", "switch", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        host.run("ip", "link", "set", "lo", "up")
        return host

    def cut(self, host: Host) -> None:
        """Unplug a host: what is sent to it or by it is lost, and nobody is told."""
        self._switch.run("ip", "link", "set", f"port{host.number}", "down")

    def mend(self, host: Host) -> None:
        """Plug it in again."""
        self._switch.run("ip", "link", "set", f"port{host.number}", "up")

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in [*self._hosts, self._switch]:
            host.close()


def permitted() -> str:
    """Why this machine lets us make no network of our own, or nothing."""
    try:
        tried = subprocess.run(
            ["unshare", "--net", "ip", "link", "add", "switch", "type", "bridge"], capture_output=True
        )
    except FileNotFoundError as error:
        return f"no network namespaces: {error}"
    return f"no network namespaces: {tried.stderr.decode().strip()}" if tried.returncode else ""


def _hold() -> subprocess.Popen[bytes]:
    """A process in a network namespace of its own; it ends when its stdin does, so also when this process dies."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    holder.stdout.close()
    return holder
