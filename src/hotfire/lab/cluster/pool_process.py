"""The autoscaler's process: started beside the lab, remembered in its state, ended with it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hotfire.errors import HarnessError, LabError
from hotfire.lab.machine import cgroups
from hotfire.lab.shape.state import State
from hotfire.waiting import until

_GROUP = "node-pool"
_START_SECONDS = 30.0
_END_SECONDS = 15.0
AT_WORK = "looking for pods that wait for GPUs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many workers there may be, and how long one stays without GPU work."""

    least: int
    most: int
    cooldown_seconds: float

    def __str__(self) -> str:
        return (
            f"node pool of {self.least} to {self.most} workers, "
            f"{self.cooldown_seconds:g} s cooldown"
        )


@dataclass(frozen=True, slots=True)
class PoolProcess:
    """The process of one lab's autoscaler, running or not."""

    state: State

    @property
    def log(self) -> Path:
        return self.state.home / "node-pool.log"

    @property
    def _note(self) -> Path:
        return self.state.home / "node-pool.json"

    def start(self, limits: Limits) -> int:
        """Start the process, in place of a former one, and return its id.

        Raises:
            LabError: it ended instead; the message carries what it said.
        """
        self.stop()
        self.log.unlink(missing_ok=True)
        words = [f"--min={limits.least}", f"--max={limits.most}"]
        words += [f"--cooldown-seconds={limits.cooldown_seconds:g}", "--foreground"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hotfire", "lab", "pool", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._note.write_text(json.dumps({"pid": process.pid, **asdict(limits)}))
        until(
            lambda: process.poll() is not None or AT_WORK in self.log.read_text(),
            within_seconds=_START_SECONDS,
            what="the node pool's process at work",
        )
        if process.poll() is not None:
            said = self.log.read_text().strip().splitlines()
            raise LabError(f"the node pool's process ended: {said[-1] if said else 'silently'}")
        return process.pid

    def limits(self) -> Limits | None:
        """Return what the pool was asked to keep to; None: there is no pool."""
        document = self._document()
        if document is None:
            return None
        return Limits(**{name: value for name, value in document.items() if name != "pid"})

    def pid(self) -> int | None:
        """Return the id of the running process, or None."""
        document = self._document()
        if document is None:
            return None
        pid = int(document["pid"])
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        # The id may belong to somebody else by now.
        return pid if b"pool" in words and b"--foreground" in words else None

    def stop(self) -> bool:
        """End the process, which first undoes what it is in the middle of; return if it ran."""
        pid = self.pid()
        if pid is not None:
            self._end(pid)
        self._note.unlink(missing_ok=True)
        return pid is not None

    def _end(self, pid: int) -> None:
        def ended() -> bool:
            # Again and again: while it cleans up, it takes no notice.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            return self.pid() is None

        try:
            until(ended, within_seconds=_END_SECONDS, what="the node pool's process ended")
        except HarnessError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _document(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return None
        return found


def join_lab() -> None:
    """Put the calling process among those of the lab, so that `lab down` ends it in any case."""
    for procs in cgroups.create(_GROUP):
        procs.write_text(str(os.getpid()))
