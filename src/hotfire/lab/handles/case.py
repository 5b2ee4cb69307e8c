"""What a proof is about: the thing that was broken, and how everything was before."""

from dataclasses import dataclass
from typing import Any

from hotfire.lab.handles import agents, facts
from hotfire.lab.handles.names import Handle
from hotfire.lab.handles.plan import BreakOptions
from hotfire.lab.handles.records import Broken
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was broken where, and how everything was just before."""

    lab: Lab
    topology: Topology
    handle: Handle
    order: BreakOptions
    broken: Broken
    before: facts.Facts

    def facts_of(self, *machines: str) -> facts.Facts:
        """Return how machines are now."""
        return facts.of_machines(self.lab, machines)

    def ask(self, machine: str, op: str, **args: object) -> Any:  # noqa: ANN401 - JSON
        """Ask a machine's agent."""
        return agents.ask(self.lab.rack, machine, op, **args)
