"""Watches what the machine does to a load process: CPU throttling, steal time, clock steps."""

import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from hotfire.traffic.wire.clock import clock_offset_ns

_CGROUPS: Final = Path("/sys/fs/cgroup")
_NANO: Final = 1e-9
_LOOK_NS: Final = 200_000_000
_WINDOW_NS: Final = 5_000_000_000
_STEAL: Final = 7
"""Place of stolen time in /proc/stat's first line, after its name."""

Counters: TypeAlias = tuple[tuple[int, int] | None, tuple[int, int] | None]
"""How often and how long (ns) we were held back, and the machine's stolen and whole ticks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What happened since a moment; None: this machine does not tell."""

    throttled_count: int | None
    throttled_seconds: float | None
    steal_ratio: float | None
    clock_step_seconds: float


def cpu_groups() -> list[Path]:
    """Return the CPU accounting of this process's control group and of each group above it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        names = controllers.split(",")
        if not controllers or "cpu" in names:
            for root in (_CGROUPS / controllers, _CGROUPS / "cpu"):
                if (found := _with_parents(root, name)) and _told(found[0]):
                    return found
    return []


def _with_parents(root: Path, name: str) -> list[Path]:
    own = root / name.strip("/")
    parents = [own, *own.parents]
    return [group / "cpu.stat" for group in parents if group.is_relative_to(root)]


def _told(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines())
        return {name: int(value) for name, value in pairs}
    except (OSError, ValueError):
        return {}


def throttled(groups: list[Path]) -> tuple[int, int] | None:
    """Return how often and how long (ns) these groups were held back; None if nothing tells.

    A group that is held back holds all below it back, so every level counts.
    """
    count = length_ns = 0
    levels = [told for told in map(_told, groups) if "nr_throttled" in told]
    for told in levels:
        count += told["nr_throttled"]
        # The older hierarchy counts nanoseconds, the newer microseconds.
        length_ns += told.get("throttled_time", 1000 * told.get("throttled_usec", 0))
    return (count, length_ns) if levels else None


def cpu_ticks() -> tuple[int, int] | None:
    """Return the machine's stolen and whole CPU time in ticks; None if it does not tell."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        ticks = [int(word) for word in words[: _STEAL + 1]]
        return ticks[_STEAL], sum(ticks)
    except (OSError, ValueError, IndexError):
        return None


@dataclass(slots=True)
class Busiest:
    """CPU time of this process per second in its busiest five seconds, one core being 1.

    A shorter load is one stretch: neither a quiet stretch nor the wait for the last answers may
    hide how busy it was.
    """

    ratio: float = 0.0
    latest: float = 0.0
    """Of the last five seconds alone."""
    marks: deque[tuple[int, int]] = field(default_factory=deque)
    """Time and CPU time since the beginning of the window, both in ns."""

    def note(self, now_ns: int, cpu_ns: int) -> None:
        """Take the CPU time used by now."""
        marks = self.marks
        marks.append((now_ns, cpu_ns))
        while len(marks) > 2 and now_ns - marks[1][0] >= _WINDOW_NS:
            marks.popleft()
        if now_ns - marks[0][0] >= _WINDOW_NS:
            self.take()

    def take(self) -> None:
        """Count the window as it is, however short."""
        (begun_ns, used_ns), (now_ns, cpu_ns) = self.marks[0], self.marks[-1]
        self.latest = (cpu_ns - used_ns) / max(1, now_ns - begun_ns)
        self.ratio = max(self.ratio, self.latest)


@dataclass(slots=True)
class Surroundings:
    """Watches from its creation on; ``look`` is cheap and may be called at any rate."""

    groups: list[Path] = field(default_factory=cpu_groups)
    begun: tuple[int, int] | None = None
    ticks: tuple[int, int] | None = None
    asked: Counters | None = None
    offset_ns: int = 0
    step_ns: int = 0
    latest_step_ns: int = 0
    looked_ns: int = 0
    busiest: Busiest = field(default_factory=Busiest)

    def __post_init__(self) -> None:
        self.begun, self.ticks = throttled(self.groups), cpu_ticks()
        self.offset_ns = clock_offset_ns()
        self.looked_ns = time.monotonic_ns()

    def look(self) -> None:
        """Compare the clocks and note the CPU time, at most five times a second.

        A step shows between two looks. The first look is the load's beginning.
        """
        now = time.monotonic_ns()
        if now - self.looked_ns >= _LOOK_NS or not self.busiest.marks:
            self._look(now)

    def end_load(self) -> None:
        """Note that nothing is sent from now on."""
        self._look(time.monotonic_ns())
        self.busiest.take()

    def _look(self, now_ns: int) -> None:
        self._compare_clocks()
        self.busiest.note(now_ns, time.process_time_ns())
        self.looked_ns = now_ns

    def _compare_clocks(self) -> None:
        offset_ns = clock_offset_ns()
        step_ns = abs(offset_ns - self.offset_ns)
        self.step_ns = max(self.step_ns, step_ns)
        self.latest_step_ns = max(self.latest_step_ns, step_ns)
        self.offset_ns = offset_ns

    def disturbance(self) -> Disturbance:
        """Return what happened until now."""
        self._compare_clocks()
        return self._since((self.begun, self.ticks), (throttled(self.groups), cpu_ticks()))

    def lately(self) -> Disturbance:
        """Return what happened since this was asked last, or since the load began."""
        self._compare_clocks()
        now = throttled(self.groups), cpu_ticks()
        found = self._since(self.asked or (self.begun, self.ticks), now)
        step_ns, self.asked, self.latest_step_ns = self.latest_step_ns, now, 0
        return replace(found, clock_step_seconds=step_ns * _NANO)

    def _since(self, begun: Counters, now: Counters) -> Disturbance:
        count = seconds = steal = None
        (held_before, ticks_before), (held, ticks) = begun, now
        if held and held_before:
            count, seconds = held[0] - held_before[0], (held[1] - held_before[1]) * _NANO
        if ticks and ticks_before:
            steal = (ticks[0] - ticks_before[0]) / max(1, ticks[1] - ticks_before[1])
        return Disturbance(
            throttled_count=count,
            throttled_seconds=seconds,
            steal_ratio=steal,
            clock_step_seconds=self.step_ns * _NANO,
        )
