"""A container's memory cgroup: reading it, and filling it until the kernel kills the engine."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.host import Host, OperationError

# cgroup v1 writes "no limit" as the largest page-aligned signed 64-bit number.
_UNLIMITED = 1 << 62


@dataclass(frozen=True)
class MemoryCgroup:
    """One memory cgroup, version 1 or 2."""

    path: Path
    unified: bool

    @property
    def usage_bytes(self) -> int:
        return int(self._read("memory.current" if self.unified else "memory.usage_in_bytes"))

    @property
    def working_set_bytes(self) -> int:
        """Memory in use without file pages that nobody reads, as the kubelet counts it."""
        unread = "inactive_file" if self.unified else "total_inactive_file"
        return max(0, self.usage_bytes - dict(_pairs(self._read("memory.stat")))[unread])

    @property
    def processor_ns(self) -> int:
        """Processor time used so far."""
        if self.unified:
            return dict(_pairs(self._read("cpu.stat")))["usage_usec"] * 1000
        return int((self.beside("cpuacct") / "cpuacct.usage").read_text(encoding="ascii"))

    @property
    def limit_bytes(self) -> int | None:
        """The limit; None where there is none."""
        text = self._read("memory.max" if self.unified else "memory.limit_in_bytes")
        return None if text == "max" or int(text) >= _UNLIMITED else int(text)

    @property
    def oom_kills(self) -> int:
        """Processes the kernel killed here because the limit was reached."""
        text = self._read("memory.events" if self.unified else "memory.oom_control")
        return dict(_pairs(text)).get("oom_kill", 0)

    @property
    def processes(self) -> list[int]:
        return [int(pid) for pid in self._read("cgroup.procs").split()]

    def beside(self, controller: str) -> Path:
        """Return the same group in another v1 hierarchy."""
        parts = list(self.path.parts)
        parts[parts.index("memory")] = controller
        return Path(*parts)

    def enter(self) -> None:
        """Move the calling process into this cgroup."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def _read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii").strip()


def find(host: Host, args: dict[str, Any]) -> MemoryCgroup:
    """Return the memory cgroup of a container, by the ids the kubelet names it after.

    Raises:
        OperationError: this node has no such container, or the container is of another pod.
    """
    container, pod = str(args.get("container_id", "")), str(args.get("pod_uid", ""))
    if len(container) < 12 or not pod:
        raise OperationError("container_id (12 characters or more) and pod_uid are required")
    tree = host.path("/sys/fs/cgroup")
    unified = (tree / "cgroup.controllers").exists()
    for folder, names, _ in os.walk(tree if unified else tree / "memory"):
        for name in names:
            found = Path(folder, name)
            if container in name and _belongs(found, pod):
                return MemoryCgroup(found, unified)
    raise OperationError(f"no memory cgroup of container {container[:12]} of pod {pod} here")


def use(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return what a container uses of memory and processor, and the moment by this node's clock."""
    group = find(host, args)
    return {
        "working_set_bytes": group.working_set_bytes,
        "processor_ns": group.processor_ns,
        "at_ns": time.monotonic_ns(),
    }


def room(host: Host, args: dict[str, Any]) -> dict[str, int]:
    """Return the node's memory and how much of it is free, as its kubelet counts.

    File pages that nobody reads are free. The root of a version 2 tree does not count its use.
    """
    arguments.only(args, set())
    told = dict(_meminfo(host))
    tree = host.path("/sys/fs/cgroup")
    if (tree / "cgroup.controllers").exists():
        return {
            "total_bytes": told["MemTotal"],
            "free_bytes": told["MemFree"] + told["Inactive(file)"],
        }
    used = MemoryCgroup(tree / "memory", unified=False).working_set_bytes
    return {"total_bytes": told["MemTotal"], "free_bytes": max(0, told["MemTotal"] - used)}


def _meminfo(host: Host) -> Iterator[tuple[str, int]]:
    # As the node's programs see it: a container may be shown another one.
    for line in host.run(["cat", "/proc/meminfo"]).splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            yield name, int(rest.split()[0]) * 1024


def _belongs(path: Path, pod_uid: str) -> bool:
    # The systemd driver writes the uid with underscores.
    text = str(path)
    return pod_uid in text or pod_uid.replace("-", "_") in text


def _pairs(text: str) -> list[tuple[str, int]]:
    words = [line.split() for line in text.splitlines()]
    return [(word[0], int(word[1])) for word in words]
