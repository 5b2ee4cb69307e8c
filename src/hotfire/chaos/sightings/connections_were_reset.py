"""Resets were sent in answer to clients of an engine, and to clients in place of its own words."""

from typing import Final, Literal

from hotfire.chaos.readings import rules
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target

_ENDS: Final = 2


class ConnectionsWereReset(EachTarget):
    """Resets, counted where the engine's packets pass."""

    word: Literal["connections-were-reset"] = "connections-were-reset"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        entry = scene.entry_of(target.uid)
        counted = rules(scene.world.agent, target.node, entry.id)
        if len(counted.of_each_rule) != _ENDS:
            return Sighting("no", f"agent on {target.node}: no rules of {entry.id}")
        asked, answered = counted.of_each_rule
        words = (
            f"agent on {target.node}: {asked} packets to the engine of {target.name} were answered"
            f" with a reset, {answered} from it became one"
        )
        return Sighting.of(counted.drops > 0, words)
