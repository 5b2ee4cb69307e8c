"""Processes of ours that carry out a fault for as long as it lasts: started, and ended anywhere."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from hotfire.agent import parent, processes
from hotfire.agent.entries import Entry
from hotfire.agent.host import OperationError

READY = "ready"
_PACKAGES = str(Path(__file__).resolve().parents[2])
_START_SECONDS = 5.0
_END_SECONDS = 2.0


class Children:
    """The processes of one of our programs, one for each entry."""

    def __init__(self, module: str) -> None:
        """Start ``python -m module ENTRY ... AGENT``, which says that it is ready."""
        self._module = module
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, entry: Entry, *words: object) -> int:
        """Start an entry's process, wait until it is ready and return its id."""
        given = [entry.id, *map(str, words), str(os.getpid())]
        self._running[entry.id] = process = subprocess.Popen(
            [sys.executable, "-m", self._module, *given],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _PACKAGES},
        )
        self._await_ready(process)
        return process.pid

    def end(self, entry: Entry) -> None:
        """End an entry's process, whoever started it; one that does not listen is killed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = self.living(entry)
            processes.send(left, number)
            processes.await_end(left, within_seconds=_END_SECONDS)
        if process := self._running.pop(entry.id, None):
            process.poll()

    def living(self, entry: Entry) -> list[processes.Process]:
        """Return the processes of an entry that are there."""
        return processes.of_entry(self._module, entry.id)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            raise OperationError(f"{self._module} has no output to wait for")
        told, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
        if not told or process.stdout.readline().strip() != READY.encode():
            raise OperationError(f"{self._module} did not start; its words are in the agent's log")


def live_with(agent_pid: int) -> None:
    """Leave when a signal comes or the agent dies, also while this process is still starting."""
    parent.end_with(agent_pid, signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)


def say_ready() -> None:
    """Tell the agent that from now on the fault is carried out."""
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
