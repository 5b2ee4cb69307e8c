"""kubectl for the lab's own add-ons: it is built beside the rest, fast, and knows every kind."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from hotfire.errors import LabError


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig; every call has a deadline."""

    binary: Path
    kubeconfig: Path

    def run(self, *argv: str, stdin: str | None = None, within_seconds: float = 60) -> str:
        """Return what kubectl printed.

        Raises:
            LabError: it failed or took too long.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *argv]
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=within_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"kubectl {argv[0]} took over {within_seconds:g} s") from error
        if done.returncode:
            raise LabError(f"kubectl {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *paths: Path) -> None:
        files = [f"--filename={path}" for path in paths]
        self.run("apply", "--server-side", "--force-conflicts", *files)

    def apply_text(self, text: str) -> None:
        self.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=text)

    def items(self, kind: str, *argv: str) -> list[dict[str, Any]]:
        found = json.loads(self.run("get", kind, "--output=json", *argv))
        items: list[dict[str, Any]] = found.get("items", [found])
        return items


def fill(path: Path, values: Mapping[str, str]) -> str:
    """Return a manifest with its ``${NAME}`` words replaced; an unknown one is a KeyError."""
    return Template(path.read_text()).substitute(values)


def condition(item: Mapping[str, Any], kind: str) -> bool:
    """Return whether an object's status has a condition of that type with status True."""
    rows = item.get("status", {}).get("conditions", [])
    return any(row["type"] == kind and row["status"] == "True" for row in rows)
