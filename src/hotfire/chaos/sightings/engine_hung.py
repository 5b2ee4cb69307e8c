"""An engine's processes stand still, and it writes no token to who asks it past any gateway."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.agent_answers import EngineAnswer
from hotfire.chaos.plan import Plan, World, still_there
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.steps.process_signal import STANDS
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class EngineHung(EachTarget):
    """State T by the kernel's word, and no progress by the engine's.

    One token is asked for, since an engine that is stuck may go on saying that it is healthy and
    that nothing runs.
    """

    word: Literal["engine-hung"] = "engine-hung"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return that each target wrote a token before.

        Raises:
            HarnessError: one did not; its silence afterwards would prove nothing.
        """
        for target in plan.targets:
            answer = _asked(world, target)
            if not answer.wrote:
                said = answer.said or f"HTTP {answer.status}"
                raise HarnessError(f"{target} wrote no token before the fault: {said}")
        return {"wrote": [target.uid for target in plan.targets]}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        found = scene.world.agent.process_states(target.node, scene.entry_of(target.uid).id)
        told = ", ".join(f"{one.pid} {one.state or 'gone'}" for one in found) or "none"
        if not found or any(one.state != STANDS for one in found):
            return Sighting("no", f"agent on {target.node}: processes {told}")
        answer = _asked(scene.world, target)
        said = "a token" if answer.wrote else answer.said or f"HTTP {answer.status}"
        words = f"agent on {target.node}: processes {told}; asked for a token it says: {said}"
        return Sighting.of(not answer.wrote, words)


def _asked(world: World, target: Target) -> EngineAnswer:
    return world.agent.ask_engine(target.node, still_there(world.cluster, target).ip)
