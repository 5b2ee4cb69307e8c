"""Control groups of the lab's machines, v1 and v2, chosen by what the kernel offers."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_V1_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "systemd",
)
_GROUP = "hotfire"
# The control plane and the fabric must not starve behind the engines they look after.
_CPU_SHARES = {"cp": 4096, "r": 4096, "client": 2048}
_DEFAULT_SHARES = 1024
# Where the kernel has real-time time by group (v1), each machine gets some of it: several times
# what its routing daemon needs, in periods that end before BFD's detection time does.
_REALTIME_PERIOD_US = 100_000
_REALTIME_US, _REALTIME_MACHINE_US = 80_000, 3_000


def version() -> int:
    """Return 2 on a unified hierarchy, else 1."""
    return 2 if (_ROOT / "cgroup.controllers").exists() else 1


def controllers() -> list[str]:
    """Return the v1 controllers that are mounted; empty on v2."""
    if version() == 2:
        return []
    return [name for name in _V1_CONTROLLERS if (_ROOT / name).is_dir()]


def _hierarchies() -> list[Path]:
    return [_ROOT] if version() == 2 else [_ROOT / name for name in controllers()]


def create(machine: str) -> list[Path]:
    """Make the machine's groups and return the files a process joins them by."""
    for hierarchy in _hierarchies():
        parent = hierarchy / _GROUP
        for group in (parent, parent / machine):
            group.mkdir(exist_ok=True)
            _prepare(hierarchy, group)
    _weigh(machine)
    _give_realtime(machine)
    return [hierarchy / _GROUP / machine / "cgroup.procs" for hierarchy in _hierarchies()]


def _prepare(hierarchy: Path, group: Path) -> None:
    if version() == 2:
        # Children can only use what every ancestor hands down.
        for ancestor in (hierarchy, hierarchy / _GROUP):
            control = ancestor / "cgroup.subtree_control"
            available = (ancestor / "cgroup.controllers").read_text().split()
            control.write_text(" ".join(f"+{name}" for name in available))
    elif hierarchy.name == "cpuset":
        for name in ("cpuset.cpus", "cpuset.mems"):
            (group / name).write_text((hierarchy / name).read_text())


def _weigh(machine: str) -> None:
    shares = _CPU_SHARES.get(machine.rstrip("0123456789"), _DEFAULT_SHARES)
    if version() == 2:
        (_ROOT / _GROUP / machine / "cpu.weight").write_text(str(max(1, shares * 100 // 1024)))
    elif (_ROOT / "cpu").is_dir():
        (_ROOT / "cpu" / _GROUP / "cpu.shares").write_text("4096")
        (_ROOT / "cpu" / _GROUP / machine / "cpu.shares").write_text(str(shares))


def _give_realtime(machine: str) -> None:
    """Let services of a machine be real-time ones; a host that has none to give stays as it is."""
    lab = _ROOT / "cpu" / _GROUP
    for group, runtime_us in ((lab, _REALTIME_US), (lab / machine, _REALTIME_MACHINE_US)):
        with contextlib.suppress(OSError):
            (group / "cpu.rt_period_us").write_text(str(_REALTIME_PERIOD_US))
            (group / "cpu.rt_runtime_us").write_text(str(runtime_us))


def left() -> list[Path]:
    """Return every group of the lab that still exists, deepest first."""
    return list(_groups(""))


def processes(machine: str = "") -> set[int]:
    """Return the processes in the groups of one machine, or of all."""
    found: set[int] = set()
    for group in _groups(machine):
        found.update(_members(group))
    return found


def _members(group: Path) -> set[int]:
    try:
        return {int(line) for line in (group / "cgroup.procs").read_text().split()}
    except OSError:  # The group went away, or is threaded.
        return set()


def _groups(machine: str) -> Iterator[Path]:
    for hierarchy in _hierarchies():
        top = hierarchy / _GROUP / machine
        if not top.is_dir():
            continue
        nested = [path for path in top.rglob("*") if path.is_dir()]
        yield from sorted(nested, key=lambda path: len(path.parts), reverse=True)
        yield top


def remove(machine: str = "") -> None:
    """Remove all empty groups of one machine, or of the lab; busy ones stay and show in `left`."""
    for group in list(_groups(machine)):
        try:
            group.rmdir()
        except OSError:
            continue


def memory_bytes(machine: str = "") -> int:
    """Return the memory that a machine, or the whole lab, holds without page cache."""
    if version() == 2:
        stat, wanted = _ROOT / _GROUP / machine / "memory.stat", ("anon", "shmem")
    else:
        stat, wanted = (
            _ROOT / "memory" / _GROUP / machine / "memory.stat",
            ("total_rss", "total_shmem"),
        )
    values = dict(line.split() for line in stat.read_text().splitlines())
    return sum(int(values.get(name, 0)) for name in wanted)


def cpu_seconds(machine: str = "") -> float:
    """Return the processor time that a machine, or the whole lab, has used since its start."""
    if version() == 2:
        text = (_ROOT / _GROUP / machine / "cpu.stat").read_text()
        return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6
    return int((_ROOT / "cpuacct" / _GROUP / machine / "cpuacct.usage").read_text()) / 1e9
