"""The pytest process of a run: started, followed, and ended in good order."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

from hotfire.errors import HarnessError
from hotfire.signals import handled

# Healing may wait for a node agent, taking the stack down for its pods.
_CLEANUP_SECONDS = 240.0
_TERMINATION_SECONDS = 10.0
_POLL_SECONDS = 0.25


class Child:
    """One pytest process in a session of its own, so that a Ctrl-C reaches us first."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    @classmethod
    def start(cls, arguments: list[str], *, root: Path, log: Path) -> Self:
        """Start pytest in the project root, everything it says in a log."""
        program = [sys.executable, "-m", "hotfire.cli.pytest_child", str(os.getpid())]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*program, *arguments],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, log)

    def follow(self, look: Callable[[], None]) -> int:
        """Call ``look`` again and again until the process ends; return its exit status."""
        while (status := self._wait(_POLL_SECONDS)) is None:
            look()
        look()
        return status

    def stop(self) -> int:
        """Let the process clean up, then end it and whatever is left of its session.

        Raises:
            HarnessError: not even SIGKILL ended it.
        """
        self._process.send_signal(signal.SIGINT)
        status = self._wait(_CLEANUP_SECONDS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal_session(number)
            status = self._wait(_TERMINATION_SECONDS) if status is None else status
        if status is None:
            raise HarnessError(f"process {self._process.pid} does not end, not even by SIGKILL")
        return status

    def _wait(self, within_seconds: float) -> int | None:
        try:
            return self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            return None

    def _signal_session(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def complaint(self) -> str:
        """Return the last thing the log calls an error, else where the log lies."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        return errors[-1] if errors else f"see {self.log}"


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C: heal, verify, then end.

    SIGINT too: a shell without job control has background processes ignore it, and then nothing
    short of SIGKILL would end a run. A SIGHUP that ``nohup`` has ignored stays ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    with handled(interrupt, *numbers):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Finish cleaning up whatever the operator presses; it has deadlines of its own."""
    with handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield
