"""How fast the lab stands and falls, and what it costs while idle: prints a table.

``python bench/lab.py [--cycles 10]``. Needs root and the parts in the cache; takes about half a
minute a cycle. Run it on a machine with nothing else to do: the figures are wall-clock times.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

from hotfire.lab import cgroups, project_root
from hotfire.lab.lab import Lab
from hotfire.lab.progress import Progress
from hotfire.lab.topology import Topology
from hotfire.waiting import pause

IDLE_SECONDS = 30.0
NODES, GATEWAY = "nodes Ready", "Gateway Programmed"
TARGETS = {"to three nodes Ready": 10.0, "to Gateway Programmed": 25.0, "down": 5.0}


@dataclass(frozen=True, slots=True)
class Cycle:
    """One up and down, in seconds; memory in bytes, CPU in cores."""

    nodes_ready: float
    programmed: float
    down: float
    idle_memory: int
    idle_cores: float


def cycle(lab: Lab, *, measure_idle: bool) -> Cycle:
    seen: dict[str, float] = {}
    began = time.monotonic()

    def listen(line: str) -> None:
        for name in (NODES, GATEWAY):
            if name in line:
                seen[name] = time.monotonic() - began

    lab.up(Topology(), Progress(listen))
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


def row(name: str, values: list[float], limit: float, unit: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    word = "met" if high <= limit else "MISSED"
    return f"{name:<24}{low:8.2f}{middle:8.2f}{high:8.2f} {unit:<6} at most {limit:g}: {word}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=10)
    count = parser.parse_args().cycles
    lab = Lab(project_root())
    cycles = []
    for number in range(count):
        cycles.append(cycle(lab, measure_idle=number == 0))
        one = cycles[-1]
        print(
            f"cycle {number + 1}: nodes {one.nodes_ready:.1f} s, gateway {one.programmed:.1f} s, "
            f"down {one.down:.1f} s, nothing left",
            flush=True,
        )
    print(f"\n{'':<24}{'min':>8}{'median':>8}{'max':>8}")
    columns = [
        [one.nodes_ready for one in cycles],
        [one.programmed for one in cycles],
        [one.down for one in cycles],
    ]
    for (name, limit), values in zip(TARGETS.items(), columns, strict=True):
        print(row(name, values, limit, "s"))
    print(row("idle memory", [cycles[0].idle_memory / 1e9], 1.5, "GB"))
    print(row("idle CPU", [cycles[0].idle_cores], 0.25, "cores"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
