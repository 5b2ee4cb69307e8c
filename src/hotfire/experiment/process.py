"""Chaos Toolkit in a process of its own: one experiment, one process, one journal."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hotfire.chaos.armed import VARIABLE
from hotfire.errors import HarnessError

_END_SECONDS: Final = 20.0


@dataclass(slots=True)
class ChaosProcess:
    """One `chaos run`, armed through its environment; end it from any thread."""

    experiment: Path
    armed: Path
    journal: Path
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def run(self, *, within_seconds: float) -> None:
        """Run to the end, which leaves Chaos Toolkit's journal at its path.

        It ends with this process: killed, since it must not fire after its driver is gone. Ctrl-C,
        an overrun and any other exception here end it first, in order, then for good.
        """
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env={**os.environ, VARIABLE: str(self.armed)},
                # Its own group: a terminal's Ctrl-C is for the driver, which ends it in order.
                start_new_session=True,
            )
        try:
            self.process.wait(within_seconds)
        except subprocess.TimeoutExpired as error:
            raise HarnessError(f"the experiment did not end within {within_seconds:g} s") from error
        finally:
            self.end()

    def _command(self) -> list[str]:
        # Settings of our own: an operator's may name controls that know nothing of arming.
        settings = self.journal.with_suffix(".settings.yaml")
        settings.write_text("runtime: {rollbacks: {strategy: always}}\n", encoding="utf-8")
        return [
            *(sys.executable, "-m", "hotfire.experiment", str(os.getpid())),
            *("--no-log-file", "--settings", str(settings), "run", str(self.experiment)),
            *("--journal-path", str(self.journal), "--rollback-strategy", "always"),
        ]

    def end(self) -> None:
        """End the process and all it started: SIGINT, a deadline, SIGKILL."""
        if self.process is None or self.process.poll() is not None:
            return
        # Chaos Toolkit runs its rollbacks on SIGINT; up to 1.45.0 it may swallow SIGTERM.
        self._signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self._signal(signal.SIGKILL)
        self.process.wait(_END_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
