"""A container that gets less CPU time than it uses: the kernel makes it wait."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotfire.agent import arguments, cgroup
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_TREE = "/sys/fs/cgroup"
_SAMPLE_SECONDS = 2.0
_PERIOD_US, _LONGEST_PERIOD_US = 100_000, 1_000_000
# The kernel takes no smaller quota.
_LEAST_QUOTA_US = 1000


@dataclass(frozen=True)
class CpuCgroup:
    """One CPU cgroup, version 1 or 2."""

    path: Path
    accounting: Path
    unified: bool

    @property
    def used_seconds(self) -> float:
        if self.unified:
            return self._numbers()["usage_usec"] / 1e6
        return int((self.accounting / "cpuacct.usage").read_text(encoding="ascii")) / 1e9

    @property
    def limit(self) -> list[str]:
        """Quota and period in microseconds; ``max`` or ``-1``: no quota."""
        if self.unified:
            return self._read("cpu.max").split()
        return [self._read("cpu.cfs_quota_us"), self._read("cpu.cfs_period_us")]

    def set_limit(self, quota: str, period: str) -> None:
        if self.unified:
            self._write("cpu.max", f"{quota} {period}")
            return
        # A quota that is in force bounds which periods are allowed, so it comes last.
        self._write("cpu.cfs_quota_us", "-1")
        self._write("cpu.cfs_period_us", period)
        self._write("cpu.cfs_quota_us", quota)

    @property
    def throttled_periods(self) -> int:
        return self._numbers().get("nr_throttled", 0)

    @property
    def periods(self) -> int:
        return self._numbers().get("nr_periods", 0)

    def _numbers(self) -> dict[str, int]:
        words = [line.split() for line in self._read("cpu.stat").splitlines()]
        return {word[0]: int(word[1]) for word in words}

    def _read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii").strip()

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="ascii")


class CpuQuota:
    """Give a container ``share`` of the CPU time that it used just before.

    What it used is measured, since a share of the machine would stop one engine and not be felt by
    another. Its former quota is put back.
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a share that takes nothing, and a container that somebody slowed already."""
        arguments.only(args, {"container_id", "pod_uid", "share"})
        arguments.number(args, "share", above=0, at_most=0.99)
        mine = [one for one in others if one.op == "cgroup.cpu_quota"]
        if any(one.args["container_id"] == args.get("container_id") for one in mine):
            raise OperationError("its CPU time is cut already; heal that first")
        find(host, args)

    def aim(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        """Return its former limit, and how many CPUs it uses."""
        group = find(host, args)
        before = group.used_seconds
        time.sleep(_SAMPLE_SECONDS)  # noqa: TID251 - this program imports nothing that waits
        used_cpus = (group.used_seconds - before) / _SAMPLE_SECONDS
        return {"former": group.limit, "used_cpus": round(used_cpus, 6)}

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Set the quota."""
        cpus = float(entry.args["share"]) * float(entry.observed["used_cpus"])
        quota, period = _quota(cpus)
        find(host, entry.args).set_limit(quota, period)
        return {"quota_us": int(quota), "period_us": int(period)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Put the former limit back, where the container is still there."""
        if group := _still(host, entry):
            group.set_limit(*entry.observed["former"])

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether it is as it was."""
        group = _still(host, entry)
        return group is None or group.limit == entry.observed["former"]


def state(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return a container's CPU limit, and how often it had to wait for its next period."""
    group = find(host, args)
    return {
        "limit": " ".join(group.limit),
        "periods": group.periods,
        "throttled_periods": group.throttled_periods,
    }


def find(host: Host, args: dict[str, Any]) -> CpuCgroup:
    """Return the CPU cgroup of a container.

    Raises:
        OperationError: there is none here, or its kernel knows no quotas.
    """
    memory = cgroup.find(host, args)
    if memory.unified:
        return CpuCgroup(memory.path, memory.path, unified=True)
    tree = host.path(_TREE)
    below = memory.path.relative_to(tree / "memory")
    found = CpuCgroup(tree / "cpu" / below, tree / "cpuacct" / below, unified=False)
    if not (found.path / "cpu.cfs_quota_us").exists():
        raise OperationError("this node's kernel offers no CPU quotas for the container")
    return found


def _quota(cpus: float) -> tuple[str, str]:
    """Return quota and period in microseconds; a longer period allows for a smaller share."""
    period = _PERIOD_US if cpus * _PERIOD_US >= _LEAST_QUOTA_US else _LONGEST_PERIOD_US
    return str(max(_LEAST_QUOTA_US, round(cpus * period))), str(period)


def _still(host: Host, entry: Entry) -> CpuCgroup | None:
    try:
        return find(host, entry.args)
    except OperationError:
        return None  # It has ended, and its cgroup with it.
