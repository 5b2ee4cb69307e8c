"""Signals to a service or to processes of a container: standing still for a while, or killed."""

import signal
import time
from typing import Any

from hotfire.agent import arguments, cgroup, processes, services
from hotfire.agent.entries import Entry, boot_id
from hotfire.agent.host import Host, OperationError

_SIGNALS = {"STOP": signal.SIGSTOP, "KILL": signal.SIGKILL}
_KNOWN = {"signal", "service", "container_id", "pod_uid", "process", "or_all", "standing_seconds"}
_LONGEST_STANDING_SECONDS = 10.0
"""The agent does nothing else meanwhile."""


class Signal:
    """Send STOP, undone by CONT, or KILL, which whoever supervises the process undoes.

    With ``standing_seconds`` they stand still for so long before they are killed. That length is
    kept here, on the node: two calls to it would lie as far apart as the way to it takes.

    Who gets it is written into the entry first: undone is what we did, to those very processes. The
    processes are a ``service``'s main one, or those of a container whose command line holds
    ``process`` (all where none is named; with ``or_all`` also where none is called so).
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse an unknown signal, and a target without a process."""
        arguments.only(args, _KNOWN)
        kills = arguments.choice(args, "signal", _SIGNALS) == "KILL"
        if "standing_seconds" in args:
            arguments.number(args, "standing_seconds", above=0, at_most=_LONGEST_STANDING_SECONDS)
            if not kills:
                raise OperationError("standing_seconds is how long before KILL; STOP has its undo")
        if not targets(host, args):
            raise OperationError("no such process here")

    def aim(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        """Return who is to get it; one that stands still already is only killed, never stopped."""
        found = [processes.identify(pid) for pid in targets(host, args)]
        kills = args["signal"] == "KILL"
        aimed = [one for one in found if one and (kills or not processes.stands(one))]
        if not aimed:
            raise OperationError("the processes stand still already; healing would let them run")
        return {"processes": [[one.pid, one.started_ticks] for one in aimed]}

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Send it; the answer tells who got it."""
        if standing := entry.args.get("standing_seconds"):
            processes.send(_aimed(entry), signal.SIGSTOP)
            _keep_standing(float(standing))
        reached = processes.send(_aimed(entry), _SIGNALS[entry.args["signal"]])
        if not reached:
            raise OperationError("the processes have ended meanwhile")
        return {"pids": [one.pid for one in reached]}

    def undo(self, host: Host, entry: Entry) -> None:
        """Let what we stopped run on."""
        if _stops(entry):
            processes.send(_standing(entry), signal.SIGCONT)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether nothing stands any more, and a killed service runs again."""
        if _stops(entry) and _standing(entry):
            return False
        if entry.args["signal"] == "STOP":
            return True
        service = entry.args.get("service")
        return service is None or services.pid(host, service) is not None


def targets(host: Host, args: dict[str, Any]) -> list[int]:
    """Return the processes the arguments name; OperationError where they name nothing at all."""
    if "service" in args:
        found = services.pid(host, arguments.service(args))
        return [found] if found else []
    part = str(args.get("process", ""))
    there = cgroup.find(host, args).processes
    called = [pid for pid in there if part in " ".join(processes.words(pid))]
    return there if args.get("or_all") and not called else called


def states(entry: Entry) -> list[dict[str, Any]]:
    """Return what each process that an entry names does now: the kernel's letter; empty: gone."""
    return [
        {"pid": one.pid, "state": processes.state(one.pid) if processes.there(one) else ""}
        for one in _aimed(entry)
    ]


def _keep_standing(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 - this program imports nothing that waits


def _stops(entry: Entry) -> bool:
    return entry.args["signal"] == "STOP" or "standing_seconds" in entry.args


def _aimed(entry: Entry) -> list[processes.Process]:
    """Return whom an entry names; nobody once the node has booted anew."""
    if entry.boot_id != boot_id():
        return []
    return [processes.Process(int(pid), int(at)) for pid, at in entry.observed["processes"]]


def _standing(entry: Entry) -> list[processes.Process]:
    return [process for process in _aimed(entry) if processes.stands(process)]
