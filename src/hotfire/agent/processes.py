"""Processes of this node: which are ours by their command line, and whether one lives or stands.

A process id alone is no process: the kernel gives it to another one when the first has ended. Who
is to be signalled is known by id and start, and reached through a handle that follows nobody else.
"""

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_POLL_SECONDS = 0.02
_STATE, _STARTED = 0, 19  # fields of /proc/PID/stat, counted behind the name


@dataclass(frozen=True, order=True)
class Process:
    """One process of this boot, and no other one that gets its id later."""

    pid: int
    started_ticks: int
    """Clock ticks from boot to its start."""


def identify(pid: int) -> Process | None:
    """Return the process that has an id now; None: there is none."""
    started = started_ticks(pid)
    return Process(pid, started) if started else None


def of_entry(module: str, entry_id: str) -> list[Process]:
    """Return the live processes of one of our programs for one entry, whoever started them."""
    pids = [int(folder.name) for folder in PROC.glob("[0-9]*")]
    found = [identify(pid) for pid in pids if words(pid)[1:4] == ["-m", module, entry_id]]
    return [process for process in found if process and there(process)]


def words(pid: int) -> list[str]:
    """Return a process's command line; empty when it has ended or is about to."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in line.split(b"\0") if word]


def state(pid: int) -> str:
    """Return the kernel's letter for what a process does (R, S, T ...); empty: it is gone."""
    return _stat(PROC / str(pid))[_STATE]


def started_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot, which makes its id unique.

    0: it is gone.
    """
    return int(_stat(PROC / str(pid))[_STARTED] or 0)


def alive(pid: int) -> bool:
    """Return whether the process with an id is there and no mere corpse.

    While its first thread is a corpse, another may still hold its files and devices.
    """
    return any(_stat(task)[_STATE] not in {"", "Z", "X"} for task in _tasks(pid))


def there(process: Process) -> bool:
    """Return whether this very process is alive."""
    # In this order: an id that changes hands in between has another start.
    return alive(process.pid) and started_ticks(process.pid) == process.started_ticks


def stands(process: Process) -> bool:
    """Return whether this very process was stopped."""
    return state(process.pid) == "T" and started_ticks(process.pid) == process.started_ticks


def send(processes: Iterable[Process], number: signal.Signals) -> list[Process]:
    """Send a signal to those that are still there, and return them."""
    return [process for process in processes if _reached(process, number)]


def await_end(processes: Collection[Process], *, within_seconds: float) -> None:
    """Return when none of them lives any more, or when the time is over."""
    deadline = time.monotonic() + within_seconds
    while any(map(there, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # noqa: TID251 - this program imports nothing that waits


def _reached(process: Process, number: signal.Signals) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            handle = _handle(process.pid)
            if handle is not None:
                stack.callback(os.close, handle)
            # Asked once the handle is held: it can be no later process's if this is still the one.
            if started_ticks(process.pid) != process.started_ticks:
                return False
            if handle is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
    return True


def _handle(pid: int) -> int | None:
    """Return a handle of a process; None where the kernel (before 5.3) has none to give."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (OSError, AttributeError):
        return None


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _stat(folder: Path) -> list[str]:
    """Return the fields behind the name, all empty for what is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [""] * (_STARTED + 1)
