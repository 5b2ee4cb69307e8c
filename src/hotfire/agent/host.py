"""The node as seen from the agent's pod: its commands and its files."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_COMMAND_SECONDS = 10.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/nvidia/bin"


class OperationError(Exception):
    """An operation was refused or did not work; its text goes back to the caller."""


@dataclass(frozen=True)
class Host:
    """How to run a command in the node's namespaces, and where its root directory is seen."""

    prefix: tuple[str, ...]
    root: Path
    birdc: tuple[str, ...] = ("birdc",)

    def run(self, argv: Sequence[str], *, text: str = "") -> str:
        """Run one command on the node and return what it printed.

        Raises:
            OperationError: it is missing, failed or took longer than ten seconds.
        """
        try:
            done = subprocess.run(
                [*self.prefix, *argv],
                input=text,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
                check=False,
                env={**os.environ, "PATH": _PATH},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OperationError(f"{argv[0]} did not run on this node: {error}") from error
        if done.returncode != 0:
            raise OperationError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def path(self, absolute: str) -> Path:
        """Return a path of the node as this process can open it."""
        return self.root / absolute.lstrip("/")


def say(text: str) -> None:
    """Tell the agent's log one line; a full disk or a closed pipe there must not end the agent."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
