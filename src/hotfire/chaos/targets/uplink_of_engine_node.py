"""One uplink of one engine's node, whose other uplinks carry traffic."""

from collections.abc import Sequence
from typing import Literal

from hotfire.chaos.agent_answers import BfdSession
from hotfire.chaos.aim import TargetWord, plan_engines
from hotfire.chaos.plan import Plan, World, resolve_again
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class UplinkOfEngineNode(TargetWord):
    """The first declared uplink of the first engine's node."""

    word: Literal["uplink-of-engine-node"] = "uplink-of-engine-node"
    survivors: int = 1
    """How many other uplinks of that node must carry traffic."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that link as the target."""
        link = first_uplink(world, experiment, survivors=self.survivors)
        found = plan_engines(world, experiment, count=1, survivors=0, kind="link", link=link)
        # Nobody's engine is hit, so none has to come back.
        return found.model_copy(update={"survivors": self.survivors, "ready": 0})

    def spared(self, world: World, plan: Plan) -> str:
        """Return which uplinks the node keeps."""
        return "; ".join(kept_uplinks(world, one, self.survivors) for one in plan.targets)

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that the engine still runs there."""
        for target in plan.targets:
            resolve_again(world.cluster, target)


def first_uplink(world: World, experiment: str, *, survivors: int) -> str:
    """Return the link that is hit.

    Raises:
        HarnessError: fewer are declared than must be left beside it.
    """
    uplinks = world.profile.fabric.uplinks
    if len(uplinks) <= survivors:
        raise HarnessError(f"{experiment} needs {survivors + 1} links in fabric.uplinks")
    return uplinks[0]


def kept_uplinks(world: World, target: Target, survivors: int) -> str:
    """Return in words which uplinks a node keeps that loses this one.

    Raises:
        HarnessError: too few of them carry traffic.
    """
    others = [link for link in world.profile.fabric.uplinks if link != target.link]
    states = [world.agent.link_state(target.node, link) for link in others]
    carrying = [one.link for one in states if one.carrier and _established(world, one.bfd)]
    if len(carrying) < survivors:
        raise HarnessError(f"node {target.node} would keep {carrying or 'no link'} of {others}")
    return f"node {target.node} keeps {', '.join(carrying)}"


def _established(world: World, sessions: Sequence[BfdSession] | None) -> bool:
    return world.profile.fabric.routing is None or all_up(sessions)


def all_up(sessions: Sequence[BfdSession] | None) -> bool:
    """Return whether a link has BFD sessions and every one is up."""
    return bool(sessions) and all(session.state == "Up" for session in sessions or ())
