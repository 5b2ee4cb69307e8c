"""Faults that are a process of their own: filling a container's cgroup, filling a GPU."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hotfire.agent import arguments, cgroup, cuda, hog, processes
from hotfire.agent.entries import Entry, boot_id
from hotfire.agent.host import Host, OperationError

_PACKAGES = str(Path(__file__).resolve().parents[2])
_END_SECONDS = 5.0
_PIPE_BYTES = 1 << 16


class Hog:
    """What both kinds share: start one process, read what it tells, end it wherever it is."""

    kind = ""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse what cannot work, before anything is armed."""
        self.arguments(host, args)
        if others:
            raise OperationError(f"entry {others[0].id} is open on this node; heal it first")

    def arguments(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        """Return what the process needs to know."""
        raise NotImplementedError

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Start the process; it works on while the agent answers other calls."""
        needed = {**self.arguments(host, entry.args), "agent_pid": os.getpid()}
        self._running[entry.id] = process = subprocess.Popen(
            [sys.executable, "-m", hog.MODULE, entry.id, self.kind, json.dumps(needed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": _PACKAGES},
        )
        if process.stdout:
            os.set_blocking(process.stdout.fileno(), False)
        started = processes.started_ticks(process.pid)
        return {**needed, "pid": process.pid, "started_ticks": started}

    def observe(self, entry: Entry) -> tuple[dict[str, Any], bool]:
        """Return what the process told since, and whether it has ended."""
        process = self._running.get(entry.id)
        if process is None:
            return {}, not _living(entry)
        ended = process.poll() is not None
        observed = _read(process)
        if ended:
            del self._running[entry.id]
            observed |= {"exit_code": process.returncode}
        return observed, ended

    def undo(self, host: Host, entry: Entry) -> None:
        """End the process, whoever started it; what it took goes back to the kernel with it."""
        living = _living(entry)
        processes.send(living, signal.SIGKILL)
        processes.await_end(living, within_seconds=_END_SECONDS)
        if process := self._running.pop(entry.id, None):
            process.poll()

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether no such process is left."""
        return not _living(entry)


class CgroupHog(Hog):
    """Fill the memory cgroup of a container up to its limit."""

    kind = "cgroup"

    def arguments(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        group = cgroup.find(host, args)
        if group.limit_bytes is None:
            raise OperationError("this container has no memory limit; filling it fills the node")
        pod = cgroup.MemoryCgroup(group.path.parent, group.unified)
        return {
            "path": str(group.path),
            "unified": group.unified,
            "oom_kills_before": group.oom_kills,
            "pod_oom_kills_before": pod.oom_kills,
        }

    def observe(self, entry: Entry) -> tuple[dict[str, Any], bool]:
        observed, ended = super().observe(entry)
        if ended and "oom" not in observed and "path" in entry.observed:
            observed |= self._killed_with_it(entry)
        return observed, ended

    def _killed_with_it(self, entry: Entry) -> dict[str, Any]:
        """Return what the kernel counted; asked where the hog could not tell any more.

        Version 2 kills the whole container at once, the hog included; the pod's count remains.
        """
        seen, path = entry.observed, Path(entry.observed["path"])
        if seen.get("unified"):
            kills, before = _oom_kills(path.parent, unified=True), seen["pod_oom_kills_before"]
        else:
            kills, before = _oom_kills(path, unified=False), seen["oom_kills_before"]
        return {"oom": kills > int(before), "oom_kills": kills}


class DeviceHog(Hog):
    """Take all free memory of one GPU or MIG instance (``uuid``)."""

    kind = "device"

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a GPU that this node does not have; CUDA would only say that there is none."""
        arguments.only(args, {"uuid"})
        super().check(host, args, others)
        if args["uuid"] not in (here := cuda.uuids(host)):
            raise OperationError(
                f"no GPU {args['uuid']}; this node has {', '.join(here) or 'none'}"
            )

    def arguments(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        if not (uuid := str(args.get("uuid", ""))).startswith(("GPU-", "MIG-")):
            raise OperationError(f"{uuid!r} is no UUID of a GPU")
        return {"uuid": uuid, "library": cuda.library(host)}


def _living(entry: Entry) -> list[processes.Process]:
    """Return the processes of an entry, also one that is ending.

    The kernel takes the command line of an ending process away before what it holds, which may be
    all memory of a GPU; that one is known by its id and start, in the boot of its entry.
    """
    found = {*processes.of_entry(hog.MODULE, entry.id)}
    if "pid" in entry.observed and entry.boot_id == boot_id():
        kept = processes.Process(int(entry.observed["pid"]), int(entry.observed["started_ticks"]))
        found |= {kept} if processes.there(kept) else set()
    return sorted(found)


def _oom_kills(path: Path, *, unified: bool) -> int:
    try:
        return cgroup.MemoryCgroup(path, unified).oom_kills
    except OSError:
        return 0  # the pod is gone, and its counter with it


def _read(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    observed: dict[str, Any] = {}
    for line in _waiting_bytes(process).splitlines():
        try:
            observed |= json.loads(line)
        except json.JSONDecodeError:
            observed["said"] = line.decode(errors="replace").strip()
    return observed


def _waiting_bytes(process: subprocess.Popen[bytes]) -> bytes:
    """Return what lies in the pipe now; its lines are short, so they come whole."""
    if process.stdout is None:
        return b""
    try:
        return os.read(process.stdout.fileno(), _PIPE_BYTES)
    except BlockingIOError:
        return b""
