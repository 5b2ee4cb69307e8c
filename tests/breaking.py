"""Breaking handles of a lab as its user does, and what its machines say meanwhile."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.lab.handles import breaking
from hotfire.lab.lab import Lab
from hotfire.waiting import until


def hotfire(*words: str, within_seconds: float = 200) -> subprocess.CompletedProcess[str]:
    """Run a command of the lab."""
    argv = [sys.executable, "-m", "hotfire", "lab", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=within_seconds, check=False)


def asked(lab: Lab, machine: str, command: str) -> str:
    """Return what a shell on a machine prints, whatever becomes of its command."""
    return lab.rack.run(machine, ["sh", "-c", f"{command}; true"])


@contextmanager
def broken(lab: Lab, handle: str, *words: str) -> Iterator[str]:
    """Break a handle for the length of the block, and give its proof; mended is as before."""
    done = hotfire("break", handle, *words, "--for", "600")
    assert done.returncode == 0, done.stderr
    try:
        yield done.stdout
    finally:
        mended = hotfire("mend", handle)
    assert mended.returncode == 0, mended.stderr
    assert "facts are as before" in mended.stdout
    assert breaking.of_lab(lab).get(handle) is None


def events(lab: Lab, handle: str) -> list[dict[str, Any]]:
    """Return what the lab's log tells of a handle, the oldest first."""
    lines = lab.state.handles_log.read_text().splitlines() if lab.state.handles_log.exists() else []
    return [event for event in map(json.loads, lines) if event["handle"] == handle]


def await_mended(lab: Lab, handle: str, *, after: int, within_seconds: float) -> dict[str, Any]:
    """Wait until a handle is mended; return what the log tells of it beyond the first lines.

    The record goes last: what is told of the mending is in the log by then.
    """

    def ended() -> list[dict[str, Any]]:
        told = [each for each in events(lab, handle)[after:] if each["event"] != "broken"]
        return [] if breaking.of_lab(lab).all() else told

    return until(ended, within_seconds=within_seconds, what=f"{handle} mended by itself")[0]
