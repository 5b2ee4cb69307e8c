"""Switching a machine off as a power cut does, and on again as after a boot."""

import shutil

from hotfire.errors import HarnessError
from hotfire.lab.handles import agents
from hotfire.lab.lab import Lab
from hotfire.lab.machine import cgroups
from hotfire.lab.network import fabric
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until

_DARK_SECONDS = 10.0


def off(lab: Lab, machine: str) -> None:
    """Kill a machine's PID 1 and wait until nothing of it lives.

    Raises:
        HarnessError: a process of it outlived its PID 1.
    """
    lab.rack.cut_power(machine)
    until(
        lambda: not cgroups.processes(machine),
        within_seconds=_DARK_SECONDS,
        what=f"no process on {machine}",
        poll_seconds=0.05,
    )


def on(lab: Lab, topology: Topology, machine: str) -> None:
    """Switch a machine on again, if it is off: nothing of its kernel's state is from before."""
    if lab.rack.pid(machine) is not None:
        return
    if left := cgroups.processes(machine):
        raise HarnessError(f"{machine} is off, but its processes {sorted(left)} live")
    cgroups.remove(machine)
    cgroups.create(machine)
    fabric.reset(topology, topology.machine(machine))
    # Of its disk, a boot clears what describes what ran.
    shutil.rmtree(lab.rack.var(machine) / "run", ignore_errors=True)
    lab.rack.start(machine)
    if agents.open_entries(lab.rack, machine):
        # What was broken when the power went: the agent mends it, as it does at every start.
        agents.wake(lab.rack, machine)
