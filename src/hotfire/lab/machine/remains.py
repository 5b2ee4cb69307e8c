"""What a lab leaves on this machine outside its own directory, and how it goes away."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from hotfire.errors import HarnessError
from hotfire.lab.machine import cgroups
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import NAMESPACE_PATTERN
from hotfire.signals import handled
from hotfire.waiting import until


def left(home: Path) -> list[str]:
    """Return in words what is still there of a lab with that directory of state."""
    spaces = netns.names(NAMESPACE_PATTERN)
    return [
        *(f"network namespace {name}" for name in spaces),
        *(f"process {pid}" for pid in cgroups.processes()),
        *(f"cgroup {path}" for path in cgroups.left()),
        *(f"mount {path}" for path in _mounts(home)),
        *(f"loop device {name}" for name in loop_devices(home)),
    ]


def clear() -> None:
    """End every process of the lab and remove its network namespaces and cgroups."""
    spaces = netns.names(NAMESPACE_PATTERN)
    end(lambda: cgroups.processes() | set(netns.processes_inside(spaces)))
    for name in spaces:
        netns.delete(name)
    cgroups.remove()


def end(processes: Callable[[], set[int]]) -> None:
    """Kill until none is left; those of the machines are dying with their PID 1 already."""

    def none_left() -> bool:
        alive = processes() - {os.getpid()}
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    with contextlib.suppress(HarnessError):  # What is left is told by `left`.
        until(none_left, within_seconds=10, what="no process of the lab", poll_seconds=0.05)


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Let no Ctrl-C, nor a request to end, stop the cleaning up."""
    with handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
        yield


def loop_devices(home: Path, *, system: Path = Path("/sys/block")) -> list[str]:
    """Return the loop devices that still hold a file of the lab."""
    files = {path.parent.parent.name: path for path in system.glob("loop*/loop/backing_file")}
    return sorted(name for name, path in files.items() if _holds(path, home))


def _holds(backing_file: Path, home: Path) -> bool:
    try:
        return backing_file.read_text().startswith(f"{home}/")
    except OSError:  # Released while we looked.
        return False


def _mounts(home: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(str(home))]
