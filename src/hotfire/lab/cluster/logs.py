"""The logs of the lab's parts: services of machines, and containers of pods."""

import contextlib
import os
import shutil
import sys
from collections import deque
from pathlib import Path

from hotfire.errors import ProfileError
from hotfire.lab.machine.machines import Rack

_POD_PARTS = 3


def parts(rack: Rack) -> list[str]:
    """Return the name of every part that has a log."""
    return [name for name, _ in _all(rack)]


def find(rack: Rack, part: str) -> list[tuple[str, Path]]:
    """Return the logs a word means: MACHINE/SERVICE, SERVICE anywhere, or the name of a pod.

    Raises:
        ProfileError: there is no such part.
    """
    found = [(name, path) for name, path in _all(rack) if _means(part, name)]
    if not found:
        raise ProfileError(f"no log of {part!r}; `hotfire lab logs` lists the parts")
    return found


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a log."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=lines)]


def follow(found: list[tuple[str, Path]], lines: int) -> None:
    """Become a program that shows what is written from now on; never returns."""
    sys.stdout.flush()
    words = ["tail", f"--lines={lines}", "-F", *(str(path) for _, path in found)]
    os.execvp(words[0], words)  # noqa: S606 - no shell in between


def collect(rack: Rack, directory: Path) -> None:
    """Copy every log of every machine below a directory."""
    for name in rack.names():
        for _, log in _of_services(rack, name):
            (directory / name).mkdir(parents=True, exist_ok=True)
            shutil.copy2(log, directory / name / log.name)
        copy_pods(rack, name, directory / name / "pods")


def copy_pods(rack: Rack, machine: str, directory: Path) -> None:
    """Copy the logs of every container of a machine below a directory."""
    for name, path in _of_pods(rack, machine):
        copy = directory.joinpath(*name.split("/")[1:]).with_suffix(f".{path.name}")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # Its pod has just been deleted.
            shutil.copy2(path, copy)


def _all(rack: Rack) -> list[tuple[str, Path]]:
    return [
        part for name in rack.names() for part in (*_of_services(rack, name), *_of_pods(rack, name))
    ]


def _of_services(rack: Rack, machine: str) -> list[tuple[str, Path]]:
    own = rack.var(machine) / "log"
    logs = [*own.glob("*.log"), *own.glob("kubernetes/*.log"), rack.home(machine) / "init.log"]
    return [(f"{machine}/{path.stem}", path) for path in sorted(logs) if path.exists()]


def _of_pods(rack: Rack, machine: str) -> list[tuple[str, Path]]:
    """Return MACHINE/NAMESPACE/POD/CONTAINER and its newest log."""
    found = []
    for container in sorted((rack.var(machine) / "log" / "pods").glob("*/*")):
        words = container.parent.name.split("_")
        logs = [path for path in container.glob("*.log") if path.stem.isdigit()]
        if len(words) == _POD_PARTS and logs:
            name = f"{machine}/{words[0]}/{words[1]}/{container.name}"
            found.append((name, max(logs, key=lambda path: int(path.stem))))
    return found


def _means(part: str, name: str) -> bool:
    machine, *rest = name.split("/")
    if len(rest) == 1:
        return part in {name, rest[0]}
    namespace, pod, container = rest
    if part in {name, f"{machine}/{pod}", f"{namespace}/{pod}", container}:
        return True
    # A Deployment's pods carry its name and two more words.
    return pod == part or pod.startswith(f"{part}-")
