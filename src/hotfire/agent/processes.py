"""Processes of this node: which are ours by their command line, and whether one lives or stands."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_POLL_SECONDS = 0.02
_STATE, _STARTED = 0, 19  # fields of /proc/PID/stat, counted behind the name


def of_entry(module: str, entry_id: str) -> list[int]:
    """Return the live processes of one of our programs for one entry, whoever started them."""
    return [
        int(folder.name)
        for folder in PROC.glob("[0-9]*")
        if {module, entry_id} <= set(words(int(folder.name))) and alive(int(folder.name))
    ]


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
    """Return whether a process is there and no mere corpse.

    While its first thread is a corpse, another may still hold its files and devices.
    """
    return any(_stat(task)[_STATE] not in {"", "Z", "X"} for task in _tasks(pid))


def send(pids: list[int], number: signal.Signals) -> list[int]:
    """Send a signal to those that are still there, and return them."""
    return list(_reached(pids, number))


def await_end(pids: list[int], *, within_seconds: float) -> None:
    """Return when none of them lives any more, or when the time is over."""
    deadline = time.monotonic() + within_seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # noqa: TID251 - this program imports nothing that waits


def _reached(pids: list[int], number: signal.Signals) -> Iterator[int]:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        yield pid


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
