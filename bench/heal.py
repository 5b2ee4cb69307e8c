"""What is left when `hotfire` is killed amid a fault, and how soon nothing is: prints a table.

``python -m bench.heal [--kills 100] [--seed 1] [--faults FLT-NET-001,...] [--lease]``. Each time a
fault is fired on the lab and the runner gets SIGKILL at a random instant, from the moment it was
armed until after its end. Then `hotfire heal` is called, or with ``--lease`` nobody does anything
until the lease has ended. The platform must look as before: objects, links, routes, queues,
filters, processes, taints, files, cgroups. Needs root; about two minutes a kill. Exit code 1 if
anything is left.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.snapshot import Snapshot, taken
from hotfire.experiment import Experiment
from hotfire.lab import ensure_up
from hotfire.lab.lab import Lab
from hotfire.own_folders import project_root
from hotfire.waiting import of_target
from tests.killed_runner import LEASE_SECONDS, happened, killed, with_short_leases
from tests.scripted_stack import scripted, standing
from tests.world import World

FAULTS = "FLT-NET-001,FLT-NET-002,FLT-POD-001,FLT-ENG-003,FLT-GTW-002,FLT-CTL-004,FLT-NOD-003"
# From armed to the first shot: a baseline of 5 s, and a process that starts.
BEFORE_SECONDS, AFTER_SECONDS = 9.0, 6.0
AS_BEFORE_SECONDS = 180.0
OURS = ("hotfire-system", "hotfire.agent", "hotfire-agent", "hotfire-janitor", "/run: hotfire")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill, and what became of the platform."""

    fault: str
    after_seconds: float
    """From the moment it was armed."""
    amid: str
    """What the run had told last."""
    healed_seconds: float
    as_before_seconds: float
    residue: list[str]

    def __str__(self) -> str:
        left = f"{len(self.residue)} left" if self.residue else "nothing left"
        return (
            f"{self.fault:<13}{self.after_seconds:8.1f} s  {self.amid:<16}"
            f"{self.healed_seconds:8.1f} s {self.as_before_seconds:8.1f} s  {left}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The standing platform, and how it is brought back."""

    world: World
    target: Path
    lease: bool

    def kill(self, fault: Experiment, after_seconds: float) -> Kill:
        """Fire a fault, kill its runner so long after it was armed, and wait for the end of it."""
        before = taken(self.world)
        with tempfile.TemporaryDirectory(prefix="hotfire-heal-") as folder:
            amid = since_armed(after_seconds)
            killed(self.target, Path(folder), only=fault.id, amid=amid)
            last = happened(Path(folder) / "run")[-1]
            began = time.monotonic()
            healed = 0.0 if self.lease else self._heal()
            left = self._as_before(before)
            took = time.monotonic() - began
        if self.lease:
            healed = took
            self._heal()
        return Kill(
            fault=fault.id,
            after_seconds=after_seconds,
            amid=last,
            healed_seconds=healed,
            as_before_seconds=took,
            residue=left,
        )

    def _heal(self) -> float:
        """Heal as a user does; return the seconds."""
        began = time.monotonic()
        argv = [sys.executable, "-m", "hotfire", "heal", "--target", str(self.target)]
        done = subprocess.run(
            argv, cwd=project_root(), capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            print(done.stdout, done.stderr)
        return time.monotonic() - began

    def _as_before(self, before: Snapshot) -> list[str]:
        """Wait until the platform looks as before; return what differs at the deadline."""
        left: list[str] = []

        def is_so() -> bool:
            left[:] = [one for one in before.residue(taken(self.world)) if not self._stays(one)]
            return not left

        limit = AS_BEFORE_SECONDS + (4 * LEASE_SECONDS if self.lease else 0)
        of_target(is_so, within_seconds=limit, what="the platform as before", poll_seconds=1.0)
        return left

    def _stays(self, line: str) -> bool:
        """Return whether a line is of what hotfire keeps in a cluster until somebody heals."""
        return self.lease and any(name in line for name in OURS)


def since_armed(seconds: float) -> Callable[[Path], bool]:
    """Return what tells whether a run's fault was armed so long ago."""
    armed: list[float] = []

    def is_so(run: Path) -> bool:
        if not armed and "armed" in happened(run):
            armed.append(time.monotonic())
        return bool(armed) and time.monotonic() - armed[0] >= seconds

    return is_so


def named(words: str) -> list[Experiment]:
    """Return the faults of a list of ids; of none: all that are recorded as experiments."""
    paths = sorted((project_root() / "experiments").glob("*/*.yaml"))
    found = {one.id: one for one in map(Experiment.load, paths)}
    ids = [word.strip() for word in words.split(",") if word.strip()] or list(found)
    if unknown := [one for one in ids if one not in found]:
        raise SystemExit(f"--faults: there is no {', '.join(unknown)}")
    return [found[one] for one in ids]


@contextmanager
def bench(*, lease: bool) -> Iterator[Bench]:
    """Deploy the scripted stack on the lab, which is brought up where it is not."""
    lab = Lab(project_root())
    ensure_up(print)
    with tempfile.TemporaryDirectory(prefix="hotfire-heal-") as folder:
        whole = Path(folder) / "whole.yaml"
        whole.write_text(yaml.safe_dump(scripted(lab)))
        target = with_short_leases(whole, Path(folder))
        with standing(lab, target) as world:
            yield Bench(world=world, target=target, lease=lease)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default=FAULTS, help="ids; empty: all")
    parser.add_argument("--lease", action="store_true", help="heal nothing, wait for the lease")
    options = parser.parse_args()
    dice, faults = random.Random(options.seed), named(options.faults)  # noqa: S311
    kills = []
    with bench(lease=options.lease) as stand:
        print(f"{'fault':<13}{'killed after':>10}  {'amid':<16}{'healed':>10}{'as before':>11}")
        for _ in range(options.kills):
            fault = dice.choice(faults)
            longest = BEFORE_SECONDS + fault.fault.hold_seconds + AFTER_SECONDS
            kills.append(stand.kill(fault, dice.uniform(0, longest)))
            print(kills[-1], *kills[-1].residue, sep="\n    ", flush=True)
    left = sum(bool(one.residue) for one in kills)
    slowest = max((one.as_before_seconds for one in kills), default=0.0)
    print(f"{len(kills)} kills: residue after {left}; slowest as before after {slowest:.1f} s")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
