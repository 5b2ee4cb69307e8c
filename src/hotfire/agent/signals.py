"""Signals to a service or to processes of a container: standing still for a while, or killed."""

import re
import signal
from typing import Any

from hotfire.agent import arguments, cgroup, processes, services
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_SIGNALS = {"STOP": signal.SIGSTOP, "KILL": signal.SIGKILL}
_KNOWN = {"signal", "service", "container_id", "pod_uid", "process"}


class Signal:
    """Send STOP, undone by CONT, or KILL, which whoever supervises the process undoes.

    The processes are a ``service``'s main one, or those of a container whose command line matches
    ``process`` (all where none is named).
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse an unknown signal, and a target without a process."""
        arguments.only(args, _KNOWN)
        arguments.choice(args, "signal", _SIGNALS)
        if not targets(host, args):
            raise OperationError("no such process here")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Send it; the answer tells who got it."""
        pids = targets(host, entry.args)
        reached = processes.send(pids, _SIGNALS[entry.args["signal"]])
        return {"pids": reached}

    def undo(self, host: Host, entry: Entry) -> None:
        """Let what stands run on."""
        if entry.args["signal"] == "STOP":
            processes.send(_standing(host, entry), signal.SIGCONT)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether nothing stands any more, and a killed service runs again."""
        if entry.args["signal"] == "STOP":
            return not _standing(host, entry)
        service = entry.args.get("service")
        return service is None or services.pid(host, service) is not None


def targets(host: Host, args: dict[str, Any]) -> list[int]:
    """Return the processes the arguments name; OperationError where they name nothing at all."""
    if "service" in args:
        found = services.pid(host, arguments.service(args))
        return [found] if found else []
    pattern = re.compile(str(args.get("process", "")))
    group = cgroup.find(host, args)
    return [pid for pid in group.processes if pattern.search(" ".join(processes.words(pid)))]


def _standing(host: Host, entry: Entry) -> list[int]:
    try:
        found = targets(host, entry.args)
    except OperationError:
        # Its container is gone, and everything in it with it.
        return []
    return [pid for pid in found if processes.state(pid) == "T"]
