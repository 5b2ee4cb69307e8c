"""What every step can do: rehearse, fire, and be undone by whoever heals."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from hotfire.chaos.plan import World
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.words import Word, read
from hotfire.chaos.written import Kind, Target
from hotfire.errors import HarnessError
from hotfire.waiting import until

Life = Literal["node", "cluster", "nowhere"]
"""Where its undo lives: a node's agent, the janitor in the cluster, or nothing is left behind."""


class Fired(NamedTuple):
    """That a step was carried out, and by whose word."""

    source: str
    at_ns: int
    """When the order was given, in epoch nanoseconds: the effect can only come after it."""
    data: Mapping[str, object] = {}


class Step(Word):
    """Something done to a target; its arguments are kept in the undo entry."""

    lives_on: ClassVar[Life]
    takes: ClassVar[frozenset[Kind] | None] = None
    """Kinds of targets that it is done to, where a fault has targets of several; None: all."""
    part: int = 0
    """Whose targets it is done to, where faults overlap: which of them, from 0."""
    after_seconds: float = Field(default=0.0, ge=0, le=5)
    """Pause before it, after the step before; shorter than any lease."""

    def hits(self, target: Target) -> bool:
        """Return whether it is done to a target."""
        return target.part == self.part and (self.takes is None or target.kind in self.takes)

    @abstractmethod
    def rehearse(self, world: World, target: Target) -> str:
        """Return who would accept it, having changed nothing.

        Raises:
            HarnessError: it would be refused.
        """

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return what the undo must put back, read before anything is touched."""
        del world, target
        return {}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure, at the moment of firing, that what it breaks is not broken yet.

        Raises:
            HarnessError: it is; nothing was fired.
        """

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return what the janitor must be allowed in order to undo it."""
        del target
        return []

    @abstractmethod
    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Do it to the entry's target.

        Raises:
            FaultNotInjected: it was not done.
        """

    def renew(self, world: World, entry: UndoEntry) -> None:
        """Let it last for another lease."""

    @abstractmethod
    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Undo it and return in words how that was seen; harmless where nothing was done.

        Raises:
            HarnessError: it could not be shown to be undone.
        """


class NodeStep(Step):
    """A fault that a node's agent does, and undoes by itself when its lease ends."""

    lives_on: ClassVar[Life] = "node"
    operation: ClassVar[str] = ""
    """What the agent calls it."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return that the node's agent answers."""
        world.agent.call(target.node, "ping")
        return f"the agent on {target.node}"

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return what the agent must know, beside the operation."""
        del world, target
        return {}

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent do it, for one lease."""
        return self.ordered(world, entry, self.operation, self.order(world, entry.target))

    def ordered(
        self, world: World, entry: UndoEntry, operation: str, order: Mapping[str, object]
    ) -> Fired:
        """Have the agent carry out an operation."""
        node, at_ns = entry.target.node, time.time_ns()
        done = world.agent.fire(node, operation, entry.id, **order)
        return Fired(f"agent on {node}", at_ns, {"entry": done.id})

    def renew(self, world: World, entry: UndoEntry) -> None:
        """Give the node's entry another lease."""
        world.agent.renew(entry.target.node, entry.id)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Have the node's agent undo it; an agent that is gone is started again first."""
        node = entry.target.node
        if not world.agent.is_ours(node):
            world.agent.deploy(run_id=entry.run_id)
        if problems := world.agent.heal(node, entry.id):
            raise HarnessError("; ".join(problems))
        until(
            lambda: entry.id not in {one.id for one in world.agent.open_entries(node)},
            within_seconds=within_seconds,
            what=f"no open entry {entry.id} on {node}",
            excused_seconds=world.cluster.silent_seconds,
        )
        return f"node {node} says entry {entry.id} is undone"


def step_of(entry: UndoEntry) -> Step:
    """Return the step that an entry undoes.

    Raises:
        ValueError: this version knows no such word, or not with these arguments.
    """
    found = read("steps", entry.undo.step)
    if not isinstance(found, Step):
        raise TypeError(f"{found} is no step")
    return found
