"""kubectl for the lab's own add-ons: it is built beside the rest, fast, and knows every kind."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from hotfire.errors import LabError
from hotfire.waiting import pause

# What a client hears when the router sends its connection to another API server, or it restarts.
_BROKEN_OFF = ("EOF", "connection reset by peer", "connection refused", "connection lost")
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig; every call has a deadline."""

    binary: Path
    kubeconfig: Path
    attempts: int = 1
    """How often a call is tried whose connection breaks off: more than once while a lab starts."""

    def run(self, *argv: str, stdin: str | None = None, within_seconds: float = 60) -> str:
        """Return what kubectl printed.

        Raises:
            LabError: it failed or took too long.
        """
        failed = ""
        for attempt in range(self.attempts):
            if attempt:
                pause(_PAUSE_SECONDS, why="a connection to the API broke off")
            done = self._once(argv, stdin, within_seconds)
            if done.returncode == 0 or (attempt and _made_before(argv, done.stderr)):
                return done.stdout
            failed = done.stderr.strip()
            if not any(words in failed for words in _BROKEN_OFF):
                break
        raise LabError(f"kubectl {' '.join(argv)}: {failed}")

    def _once(
        self, argv: tuple[str, ...], stdin: str | None, within_seconds: float
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *argv]
        try:
            return subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=within_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"kubectl {argv[0]} took over {within_seconds:g} s") from error

    def apply(self, *paths: Path) -> None:
        files = [f"--filename={path}" for path in paths]
        self.run("apply", "--server-side", "--force-conflicts", *files)

    def apply_text(self, text: str) -> None:
        self.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=text)

    def items(self, kind: str, *argv: str) -> list[dict[str, Any]]:
        found = json.loads(self.run("get", kind, "--output=json", *argv))
        items: list[dict[str, Any]] = found.get("items", [found])
        return items


def _made_before(argv: tuple[str, ...], stderr: str) -> bool:
    """Return whether all that a repeated ``create`` complains of is that it succeeded before."""
    lines = stderr.strip().splitlines()
    return argv[0] == "create" and bool(lines) and all("already exists" in each for each in lines)


def fill(path: Path, values: Mapping[str, str]) -> str:
    """Return a manifest with its ``${NAME}`` words replaced; an unknown one is a KeyError."""
    return Template(path.read_text()).substitute(values)


def condition(item: Mapping[str, Any], kind: str) -> bool:
    """Return whether an object's status has a condition of that type with status True."""
    rows = item.get("status", {}).get("conditions", [])
    return any(row["type"] == kind and row["status"] == "True" for row in rows)


def serves(item: Mapping[str, Any]) -> bool:
    """Return whether a Deployment, a DaemonSet or a Gateway does what it is there for."""
    if item["kind"] == "DaemonSet":
        status, wanted = item.get("status", {}), item["metadata"]["generation"]
        # Before its controller has looked, zero of zero are ready.
        looked = status.get("observedGeneration") == wanted
        return bool(looked and status["numberReady"] == status["desiredNumberScheduled"])
    return condition(item, "Programmed" if item["kind"] == "Gateway" else "Available")
