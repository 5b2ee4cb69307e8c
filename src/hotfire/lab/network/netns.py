"""Network namespaces: the only module that creates, enters and removes them."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import netns

from hotfire.errors import LabError

_DIRECTORY = Path("/run/netns")


def path(name: str) -> Path:
    return _DIRECTORY / name


def names(pattern: re.Pattern[str]) -> list[str]:
    """Return the existing namespaces whose whole name matches."""
    return sorted(name for name in netns.listnetns() if pattern.fullmatch(name))


def create(name: str) -> None:
    netns.create(name)


def delete(name: str) -> None:
    """Remove a namespace; one that is not there is fine."""
    if path(name).exists():
        netns.remove(name)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Move the calling thread into a namespace for the length of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        netns.setns(str(path(name)), flags=0)
        try:
            yield
        finally:
            netns.setns(home)
    finally:
        os.close(home)


def set_sysctls(name: str, values: dict[str, str]) -> None:
    """Write kernel parameters below ``net`` as the namespace sees them, e.g. ipv4/ip_forward."""
    with inside(name):
        for key, value in values.items():
            Path("/proc/sys/net", key).write_text(value)


def run(name: str, argv: list[str], *, stdin: str = "", within_seconds: float = 20) -> str:
    """Run a program in a namespace and return its output.

    Raises:
        LabError: it failed; the message carries what it said.
    """
    with inside(name):
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=within_seconds, check=False
        )
    if done.returncode:
        raise LabError(f"{' '.join(argv)} failed in {name}: {done.stderr.strip()}")
    return done.stdout


def processes_inside(names_: list[str]) -> list[int]:
    """Return every process of this machine that lives in one of the namespaces."""
    inodes = {path(name).stat().st_ino for name in names_ if path(name).exists()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inode = (entry / "ns/net").stat().st_ino
        except OSError:  # It ended while we looked.
            continue
        if inode in inodes:
            found.append(int(entry.name))
    return found
