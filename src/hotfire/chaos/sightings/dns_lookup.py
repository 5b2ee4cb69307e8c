"""The cluster's DNS answers the nodes, or answers none of them."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import dns_address, lookup
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError

_SILENT: Final = "no answer"


class DnsLookup(SightingWord):
    """A question from each node that was hit."""

    word: Literal["dns-lookup"] = "dns-lookup"
    answered: bool

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return what DNS answers before the fault: anything, on every node."""
        found = _outcomes(world, plan)
        for target in plan.targets:
            if found[target.uid] == _SILENT:
                raise HarnessError(f"DNS does not answer {target} already; nothing was fired")
        return {**found}

    def look(self, scene: Scene) -> Sighting:
        """Return whether it is so on every node."""
        now, before = _outcomes(scene.world, scene.plan), scene.before.noted
        return all_of(
            Sighting.of(
                (now[one.uid] != _SILENT) is self.answered,
                f"a lookup on {one.node}: {now[one.uid]}, {before.get(one.uid)} before",
            )
            for one in scene.plan.targets
        )


def _outcomes(world: World, plan: Plan) -> dict[str, str]:
    server = dns_address(world.cluster)
    found = side_by_side(partial(_asked, world, server), plan.targets)
    return {one.uid: outcome for one, outcome in zip(plan.targets, found, strict=True)}


def _asked(world: World, server: str, target: Target) -> str:
    return lookup(world.agent, target.node, server)
