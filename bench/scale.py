"""hotfire before a cluster of thousands of nodes: what reading costs it, in time and memory.

``python -m bench.scale [--nodes 50 500 5000] [--target FILE]``, on a lab with kwok (``hotfire lab
up --with kwok``). It makes so many simulated GPU nodes with two engines each, has `hotfire init`,
`hotfire doctor` and the cases that only read look at them, and prints the table. Whatever it made
is removed, also after Ctrl-C. 5,000 nodes take ten minutes to make and to remove on two cores.

Nothing runs on such nodes. What asks a program there, or needs a pod of its own, is no part of
this. A scripted engine on this machine answers in their place: a case waits for the platform first.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.fleet import standing
from bench.judged import Judged, table, told
from bench.large import peak_bytes_of
from bench.simulated import ENGINE, ENGINES, NAMESPACE
from hotfire.cli.child import termination_as_interrupt
from hotfire.lab import default_target
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.waiting import pause
from tests.engine_process import running_engine

SIZES = (50, 500, 5000)
_MODEL = "simulated"
_INTERRUPTED = 130
_LOOK_SECONDS = 0.05
_COLUMNS = ("nodes", "engines", "what", "seconds", "CPU seconds", "peak MB")
# By what was looked at and the number of nodes: the most seconds, and the most megabytes.
_LIMITS = {("init", 500): (10, 300), ("doctor", 500): (15, None), ("reading", 5000): (60, 1000)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One process that has ended."""

    what: str
    nodes: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    def cells(self) -> tuple[str, ...]:
        figures = (f"{self.seconds:.1f}", f"{self.cpu_seconds:.1f}", f"{self.peak_bytes / 1e6:.0f}")
        return (f"{self.nodes:,}", f"{self.nodes * ENGINES:,}", self.what, *figures)

    def judged(self) -> Iterator[Judged]:
        seconds, megabytes = _LIMITS.get((self.what, self.nodes), (None, None))
        what = f"{self.what}, {self.nodes:,} nodes"
        if seconds:
            yield Judged(what=what, measured=self.seconds, limit=seconds, unit="s")
        if megabytes:
            peak = self.peak_bytes / 1e6
            yield Judged(what=f"{what}: peak", measured=peak, limit=megabytes, unit="MB")


def ran(what: str, nodes: int, arguments: Sequence[str], *, log: Path) -> Ran:
    """Run a command of Python's to its end."""
    began, peak = time.monotonic(), 0
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=project_root(), stdout=output, stderr=output
        )
        try:
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
                # By its end the kernel counts what we ourselves had when it was started, too.
                peak = max(peak, peak_bytes_of(process.pid))
                pause(_LOOK_SECONDS, why="another program runs")
        except KeyboardInterrupt:
            process.terminate()
            raise
    return Ran(
        what=what,
        nodes=nodes,
        seconds=time.monotonic() - began,
        cpu_seconds=ended[2].ru_utime + ended[2].ru_stime,
        peak_bytes=peak,
    )


def looked(nodes: int, target: Path, profile: TargetProfile, folder: Path) -> Iterator[Ran]:
    """Yield what each look at the simulated nodes cost."""
    hotfire, drawn = ["-m", "hotfire"], folder / f"init-{nodes}.yaml"
    where = ["--kubeconfig", str(profile.kubeconfig), "--output", str(drawn)]
    yield ran("init", nodes, [*hotfire, "init", *where], log=folder / f"init-{nodes}.log")
    told_of = ["--target", str(target)]
    yield ran("doctor", nodes, [*hotfire, "doctor", *told_of], log=folder / f"doctor-{nodes}.log")
    run = folder / f"reading-{nodes}"
    options = ["-m", "pytest", "suites", "-q", "-p", "no:cacheprovider", "-m", "reading"]
    yield ran(
        "reading", nodes, [*options, *told_of, "--run-dir", str(run)],
        log=folder / f"reading-{nodes}.log",
    )  # fmt: skip
    for result in RunDirectory(run).results():
        if not result.skipped_by_operator:
            print(f"  {result.verdict}: {result.nodeid.rpartition('/')[2]}", flush=True)


@contextmanager
def target_file(base: Path, profile: TargetProfile, folder: Path) -> Iterator[Path]:
    """Give a target file for the simulated engines, while a scripted one answers for them."""
    with running_engine("--model", _MODEL) as engine:
        document = {
            "name": "simulated",
            "kubeconfig": str(profile.kubeconfig),
            "context": profile.context,
            "namespace": NAMESPACE,
            "gateway": {"url": engine.url},
            "engine": {"model": _MODEL, "selector": ENGINE, "replicas_per_node": ENGINES},
            "stack": {"deploy": False, "canary_weight": 0},
            "budgets": "lab",
        }
        path = folder / f"{base.stem}-simulated.yaml"
        path.write_text(yaml.safe_dump(document))
        yield path


def measured(sizes: Sequence[int], base: Path, folder: Path) -> list[Ran]:
    """Return the costs at every size, one size after the other."""
    profile = TargetProfile.read(base)
    found: list[Ran] = []
    for nodes in sizes:
        print(f"{nodes:,} nodes", flush=True)
        with standing(profile, nodes), target_file(base, profile, folder) as target:
            for one in looked(nodes, target, profile, folder):
                print("  " + "  ".join(one.cells()[2:]), flush=True)
                found.append(one)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--target", type=Path, help="target file of a cluster with kwok")
    parser.add_argument("--logs", type=Path, help="where to leave what the commands printed")
    options = parser.parse_args()
    with termination_as_interrupt(), tempfile.TemporaryDirectory() as temporary:
        folder = options.logs or Path(temporary)
        folder.mkdir(exist_ok=True)
        try:
            found = measured(options.nodes, options.target or default_target(), folder)
        except KeyboardInterrupt:
            print("interrupted; what was made is removed")
            return _INTERRUPTED
    print(table(_COLUMNS, [one.cells() for one in found]))
    lines = [line for one in found for line in one.judged()]
    print(f"\n{told(lines)}" if lines else "\nno limit is about these sizes")
    return int(any(not line.met for line in lines))


if __name__ == "__main__":
    sys.exit(main())
