"""A queue does not answer PING."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos import queue
from hotfire.chaos.agent_answers import QueueAnswer
from hotfire.chaos.plan import Plan, World, still_there
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class QueueSilent(EachTarget):
    """No PONG to the node that it runs on, past any Service."""

    word: Literal["queue-silent"] = "queue-silent"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return that each target answered before.

        Raises:
            HarnessError: one did not; its silence afterwards would prove nothing.
        """
        for target in plan.targets:
            answer = _asked(world, target)
            if not answer.answered:
                raise HarnessError(f"{target} did not answer PING before the fault: {answer.said}")
        return {"answered": [target.uid for target in plan.targets]}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        answer = _asked(scene.world, target)
        words = f"agent on {target.node}: {target} says to PING: {answer.said}"
        return Sighting.of(not answer.answered, words)


def _asked(world: World, target: Target) -> QueueAnswer:
    return queue.asked(world, still_there(world.cluster, target))
