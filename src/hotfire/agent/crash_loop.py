"""A container that crashes after each start: its first process is killed again and again."""

import signal
from pathlib import Path
from typing import Any

from hotfire.agent import arguments, cgroup, processes
from hotfire.agent.entries import Entry, boot_id, boot_seconds
from hotfire.agent.host import Host, OperationError

_PROCESSES = "cgroup.procs"


class CrashLoop:
    """Kill a container's first process now, and whenever it is there again.

    A restarted container has another id and another cgroup, so it is known by its pod and by the
    command line of its first process. The agent that ends kills nobody any more: there is nothing
    to undo on the node.
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a container without a process."""
        arguments.only(args, {"container_id", "pod_uid"})
        _first(cgroup.find(host, args).processes)

    def aim(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        """Return how the container is known when it comes again."""
        group = cgroup.find(host, args)
        return {"command": processes.words(_first(group.processes)), "pod": str(group.path.parent)}

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Kill it for the first time."""
        return self.observe(entry)[0]

    def observe(self, entry: Entry) -> tuple[dict[str, Any], bool]:
        """Kill it where it is there again and there is time left, and count."""
        killed = processes.send(_there(entry), signal.SIGKILL)
        count = int(entry.observed.get("kills", 0)) + len(killed)
        return ({"kills": count} if killed else {}), False

    def undo(self, host: Host, entry: Entry) -> None:
        """Leave it alone from now on."""

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return that nothing of ours is left."""
        return True


def _first(pids: list[int]) -> int:
    """Return the process of a container that all others come from: the one that came first."""
    started = {pid: processes.started_ticks(pid) for pid in pids if processes.words(pid)}
    if not started:
        raise OperationError("no such process here")
    return min(started, key=lambda pid: (started[pid], pid))


def _there(entry: Entry) -> list[processes.Process]:
    """Return the first processes of the container, whichever it is now; nobody once it is over."""
    over = entry.expires_at <= boot_seconds() or entry.boot_id != boot_id()
    if over or not (command := entry.observed.get("command")):
        return []
    pids = [
        pid for path in Path(entry.observed["pod"]).glob(f"*/{_PROCESSES}") for pid in _in(path)
    ]
    found = [processes.identify(pid) for pid in pids if processes.words(pid) == command]
    return [process for process in found if process]


def _in(path: Path) -> list[int]:
    try:
        return [int(pid) for pid in path.read_text(encoding="ascii").split()]
    except OSError:
        return []  # That container has just ended.
