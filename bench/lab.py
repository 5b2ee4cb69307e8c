"""How fast the lab stands and falls, and what it costs while idle: prints a table.

``python bench/lab.py [--cycles 10] [--parts]``. Needs root and the parts in the cache; takes about
half a minute a cycle of each profile. ``--parts`` builds all of them first, from nothing, in a
directory of its own: a quarter of an hour and 20 GB more. Run it on a machine with nothing else to
do: the figures are wall-clock times. Exit code 1 if one is over its limit.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hotfire.lab.build.workshop import Workshop
from hotfire.lab.lab import Lab
from hotfire.lab.machine import cgroups
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import Topology
from hotfire.own_folders import project_root
from hotfire.waiting import pause

IDLE_SECONDS = 30.0
NODES, GATEWAY = "nodes Ready", "Gateway Programmed"
PARTS_SECONDS = 35 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One shape of the lab and what it has to reach, in seconds."""

    name: str
    topology: Topology
    nodes_ready: float
    programmed: float
    down: float = 5.0
    once: bool = False


PROFILES = (
    Profile(name="3 nodes, 1 control plane", topology=Topology(), nodes_ready=10, programmed=25),
    Profile(
        name="3 nodes, 3 control planes",
        topology=Topology(control_planes=3),
        nodes_ready=20,
        programmed=40,
    ),
    Profile(
        name="8 nodes, 3 control planes",
        topology=Topology(nodes=8, racks=4, control_planes=3),
        nodes_ready=60,
        programmed=90,
        down=10,
        once=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Cycle:
    """One up and down, in seconds; memory in bytes, CPU in cores."""

    nodes_ready: float
    programmed: float
    down: float
    idle_memory: int
    idle_cores: float


def cycle(lab: Lab, topology: Topology, *, measure_idle: bool) -> Cycle:
    seen: dict[str, float] = {}
    began = time.monotonic()

    def listen(line: str) -> None:
        for name in (NODES, GATEWAY):
            if name in line:
                seen[name] = time.monotonic() - began

    lab.up(topology, Progress(listen))
    memory, cores = idle() if measure_idle else (0, 0.0)
    started = time.monotonic()
    lab.down(Progress(lambda _: None))
    down = time.monotonic() - started
    if left := lab.leftovers():
        raise SystemExit(f"left behind: {', '.join(left)}")
    return Cycle(seen[NODES], seen[GATEWAY], down, memory, cores)


def idle() -> tuple[int, float]:
    pause(IDLE_SECONDS, why="the lab settles before its idle cost is measured")
    began, cpu = time.monotonic(), cgroups.cpu_seconds()
    pause(IDLE_SECONDS, why="the idle cost is measured over this time")
    return cgroups.memory_bytes(), (cgroups.cpu_seconds() - cpu) / (time.monotonic() - began)


def build_seconds() -> float:
    """Return how long all parts take from nothing: no module, no compiled package, no wheel."""
    with tempfile.TemporaryDirectory(prefix="hotfire-parts-") as directory:
        empty = {name: f"{directory}/{name}" for name in ("GOCACHE", "GOMODCACHE", "UV_CACHE_DIR")}
        os.environ.update(empty)
        began = time.monotonic()
        Workshop(Path(directory), project_root(), Progress(print)).everything()
        return time.monotonic() - began


def row(name: str, values: list[float], limit: float | None, unit: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    shown = f"{name:<24}{low:8.2f}{middle:8.2f}{high:8.2f} {unit}"
    if limit is None:
        return shown
    return f"{shown:<55}at most {limit:g}: {'met' if high <= limit else 'MISSED'}"


def run(lab: Lab, profile: Profile, count: int) -> list[str]:
    """Return the rows of one profile."""
    cycles = []
    for number in range(count):
        one = cycle(lab, profile.topology, measure_idle=number == 0)
        cycles.append(one)
        print(
            f"{profile.name}, cycle {number + 1}: nodes {one.nodes_ready:.1f} s, "
            f"gateway {one.programmed:.1f} s, down {one.down:.1f} s, nothing left",
            flush=True,
        )
    idle_gigabytes, idle_cores = cycles[0].idle_memory / 1e9, cycles[0].idle_cores
    first = profile is PROFILES[0]
    return [
        profile.name,
        row("  nodes Ready", [one.nodes_ready for one in cycles], profile.nodes_ready, "s"),
        row("  Gateway Programmed", [one.programmed for one in cycles], profile.programmed, "s"),
        row("  down", [one.down for one in cycles], profile.down, "s"),
        row("  idle memory", [idle_gigabytes], 1.5 if first else None, "GB"),
        row("  idle CPU", [idle_cores], 0.25 if first else None, "cores"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--parts", action="store_true", help="build the parts from nothing first")
    options = parser.parse_args()
    parts = []
    if options.parts:
        parts = [row("parts from nothing", [build_seconds()], PARTS_SECONDS, "s")]
    lab = Lab(project_root())
    rows = [
        line
        for profile in PROFILES
        for line in run(lab, profile, 1 if profile.once else options.cycles)
    ]
    print(f"\n{'':<24}{'min':>8}{'median':>8}{'max':>8}")
    print("\n".join([*parts, *rows]))
    return int(any("MISSED" in line for line in (*parts, *rows)))


if __name__ == "__main__":
    sys.exit(main())
