"""Processes of this node: which are ours by their command line, and whether one lives or stands."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def of_entry(module: str, entry_id: str) -> list[int]:
    """Return the live processes of one of our programs for one entry, whoever started them."""
    return [
        int(folder.name)
        for folder in PROC.glob("[0-9]*")
        if {module, entry_id} <= set(words(int(folder.name))) and alive(int(folder.name))
    ]


def words(pid: int) -> list[str]:
    """Return a process's command line; empty when it has ended."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in line.split(b"\0") if word]


def state(pid: int) -> str:
    """Return the kernel's letter for what a process does (R, S, T ...); empty: it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Return whether a process is there and no mere corpse."""
    return state(pid) not in {"", "Z", "X"}


def send(pids: list[int], number: signal.Signals) -> list[int]:
    """Send a signal to those that are still there, and return them."""
    return list(_reached(pids, number))


def _reached(pids: list[int], number: signal.Signals) -> Iterator[int]:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        yield pid
