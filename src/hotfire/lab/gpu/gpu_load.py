"""How busy the GPUs of a node are: what the containers that hold them use of processor and memory.

The lab's engines compute on processors, so a container's processor time over its limit (one core
where it has none) is its GPU's utilisation, and its memory is its GPU's memory. Temperature, power
and clock follow from the utilisation as they do on a real card, without its inertia.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotfire.agent import cgroup
from hotfire.agent.host import Host, OperationError
from hotfire.lab.gpu.gpu_device import MULTIPROCESSORS, GpuDevice

_MEBIBYTE = 1 << 20
_IDLE_WATTS, _MOST_WATTS = 70.0, 700.0
_IDLE_CELSIUS, _MOST_CELSIUS = 30, 75
_IDLE_MEGAHERTZ, _BUSY_MEGAHERTZ = 345, 1980
# A model's weights are read for every token: the memory is busy most of the time it computes.
_MEMORY_COPY_RATIO = 0.6
_NO_LIMIT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A container that was given a device; ``replica`` is its number if the GPU is shared."""

    namespace: str
    pod: str
    container: str
    replica: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container does: share of its processors, memory, and the ids of its processes."""

    busy_ratio: float = 0.0
    memory_bytes: int = 0
    processes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one device does."""

    utilization_percent: int = 0
    memory_used_mebibytes: int = 0
    processes: tuple[int, ...] = ()

    @property
    def memory_copy_percent(self) -> int:
        return round(self.utilization_percent * _MEMORY_COPY_RATIO)

    @property
    def temperature_celsius(self) -> int:
        spread = _MOST_CELSIUS - _IDLE_CELSIUS
        return _IDLE_CELSIUS + round(spread * self.utilization_percent / 100)

    @property
    def power_watts(self) -> float:
        return _IDLE_WATTS + (_MOST_WATTS - _IDLE_WATTS) * self.utilization_percent / 100

    @property
    def sm_clock_megahertz(self) -> int:
        return _BUSY_MEGAHERTZ if self.utilization_percent else _IDLE_MEGAHERTZ


def holders(grants: Iterable[Mapping[str, Any]]) -> dict[str, list[Holder]]:
    """Return who holds each device, by its UUID, from what the kubelet's PodResources lists."""
    found: dict[str, list[Holder]] = {}
    for grant in grants:
        for device_id in grant["device_ids"]:
            uuid, _, replica = device_id.partition("::")
            holder = Holder(
                namespace=grant["namespace"],
                pod=grant["pod"],
                container=grant["container"],
                replica=replica or None,
            )
            found.setdefault(uuid, []).append(holder)
    return found


def loads(held: Mapping[str, list[Holder]], usages: Mapping[Holder, Usage]) -> dict[str, Load]:
    """Return each held device's load; a container's memory is spread over its devices."""
    counts = {uuid: Counter(map(_container, those)) for uuid, those in held.items()}
    totals = sum(counts.values(), Counter[Holder]())
    return {
        uuid: _load([(usages[each], count / totals[each]) for each, count in mine.items()])
        for uuid, mine in counts.items()
    }


def of_devices(devices: Sequence[GpuDevice], held: Mapping[str, Load]) -> dict[str, Load]:
    """Return the load of every device, by its UUID; a GPU in MIG mode has that of its instances."""
    found = {device.uuid: held.get(device.uuid, Load()) for device in devices}
    for gpu in devices:
        parts = [device for device in devices if device.mig and device.gpu == gpu.uuid]
        if parts:
            found[gpu.uuid] = _combined({part: found[part.uuid] for part in parts})
    return found


def _combined(parts: Mapping[GpuDevice, Load]) -> Load:
    sizes = {part: part.mig.multiprocessors for part in parts if part.mig}
    busy = sum(parts[part].utilization_percent * size for part, size in sizes.items())
    return Load(
        utilization_percent=round(busy / MULTIPROCESSORS),
        memory_used_mebibytes=sum(load.memory_used_mebibytes for load in parts.values()),
        processes=tuple(sorted({pid for load in parts.values() for pid in load.processes})),
    )


def _load(shares: list[tuple[Usage, float]]) -> Load:
    return Load(
        utilization_percent=min(100, round(100 * sum(usage.busy_ratio for usage, _ in shares))),
        memory_used_mebibytes=round(sum(u.memory_bytes * ratio for u, ratio in shares) / _MEBIBYTE),
        processes=tuple(sorted({pid for usage, _ in shares for pid in usage.processes})),
    )


def _container(holder: Holder) -> Holder:
    return Holder(namespace=holder.namespace, pod=holder.pod, container=holder.container)


@dataclass(slots=True)
class Meter:
    """Reads the cgroups of containers; a usage is over the time since its last reading."""

    host: Host
    _groups: dict[Holder, cgroup.MemoryCgroup] = field(default_factory=dict)
    _before: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def usages(self, held: Mapping[str, list[Holder]]) -> dict[Holder, Usage]:
        """Return what each container that holds a device does; nothing while it is not running."""
        containers = {_container(holder) for those in held.values() for holder in those}
        self._groups = {each: group for each, group in self._groups.items() if each in containers}
        return {each: self._usage(each) for each in containers}

    def _usage(self, holder: Holder) -> Usage:
        try:
            group = self._groups.get(holder) or self._find(holder)
            used = Usage(
                busy_ratio=self._busy_ratio(group),
                memory_bytes=group.usage_bytes,
                processes=tuple(group.processes),
            )
        except (OSError, OperationError):  # Not started yet, over, or started again elsewhere.
            self._groups.pop(holder, None)
            return Usage()
        self._groups[holder] = group
        return used

    def _find(self, holder: Holder) -> cgroup.MemoryCgroup:
        """Return a container's cgroup: the kubelet names its log after it and after its pod."""
        logs = self.host.path("/var/log/containers")
        named = f"{holder.pod}_{holder.namespace}_{holder.container}-*.log"
        for link in logs.glob(named):
            pod_uid = link.readlink().parent.parent.name.rpartition("_")[2]
            container_id = link.stem.rpartition("-")[2]
            try:
                return cgroup.find(self.host, {"container_id": container_id, "pod_uid": pod_uid})
            except OperationError:
                continue
        raise OperationError(f"no running container {holder.container} of pod {holder.pod} here")

    def _busy_ratio(self, group: cgroup.MemoryCgroup) -> float:
        now, used = time.monotonic_ns(), _processor_ns(group)
        before, used_before = self._before.get(group.path, (now, used))
        self._before = {path: at for path, at in self._before.items() if path.exists()}
        self._before[group.path] = (now, used)
        return (used - used_before) / ((now - before) * _cores(group)) if now > before else 0.0


def _processor_ns(group: cgroup.MemoryCgroup) -> int:
    if group.unified:
        text = (group.path / "cpu.stat").read_text(encoding="ascii")
        return int(dict(line.split() for line in text.splitlines())["usage_usec"]) * 1000
    return int((_beside(group, "cpuacct") / "cpuacct.usage").read_text(encoding="ascii"))


def _cores(group: cgroup.MemoryCgroup) -> float:
    """Return the container's processor limit; one core where it has none."""
    if group.unified:
        quota, period = (group.path / "cpu.max").read_text(encoding="ascii").split()
        return 1.0 if quota == "max" else int(quota) / int(period)
    path = _beside(group, "cpu")
    quota_us = int((path / "cpu.cfs_quota_us").read_text(encoding="ascii"))
    period_us = int((path / "cpu.cfs_period_us").read_text(encoding="ascii"))
    return 1.0 if quota_us == _NO_LIMIT else quota_us / period_us


def _beside(group: cgroup.MemoryCgroup, controller: str) -> Path:
    """Return the same group in another v1 hierarchy."""
    parts = list(group.path.parts)
    parts[parts.index("memory")] = controller
    return Path(*parts)
