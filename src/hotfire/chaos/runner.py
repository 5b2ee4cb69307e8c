"""Who runs a run: a process, told from every other one ever, on any machine."""

import os
from pathlib import Path


def runner_identity(pid: int) -> str | None:
    """Return what tells a process from every other one ever, on any machine; None: there is none.

    Boot, process-id namespace, process id and start time; empty where the kernel is not Linux.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return ""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
        # The second field is the name in parentheses and may hold spaces; the start is the 22nd.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended, however long nobody collects it.
    return None if fields[0] in "ZX" else f"{boot.read_text().strip()}/{space}/{pid}/{fields[19]}"


def has_ended(runner: str) -> bool:
    """Return whether a runner of this very machine has ended; others are given their lease."""
    parts = runner.split("/")
    return is_here(runner) and runner_identity(int(parts[2])) != runner


def is_here(runner: str) -> bool:
    """Return whether it is, or was, a process that can be looked at from here."""
    here = (runner_identity(os.getpid()) or "").split("/")[:2]
    parts = runner.split("/")
    return len(parts) == 4 and parts[:2] == here
