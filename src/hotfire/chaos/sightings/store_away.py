"""No node reaches the model store any more, and an engine has to start without it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.model_store import store_address
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import connected
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.pod_replaced import PodReplaced
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class StoreAway(SightingWord):
    """A connection from each node that does not open, and another engine pod than before."""

    word: Literal["store-away"] = "store-away"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Make sure that every node reaches the store: only then does it prove something later."""
        host, port = store_address(world)
        for node, why in refusals(world, plan.targets, host, port).items():
            if why:
                raise HarnessError(f"{node} does not reach the store already: {why}")
        return {"store": [host, port]}

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        found = refusals(scene.world, scene.plan.targets, *noted_store(scene))
        cut = [
            Sighting.of(bool(why), f"a connection from {node} to the store: {why or 'opened'}")
            for node, why in found.items()
        ]
        return all_of([*cut, PodReplaced().look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to end, if that is longer."""
        return max(profile.waits.pod_gone_seconds, super().within_seconds(profile, over=over))


def noted_store(scene: Scene) -> tuple[str, int]:
    """Return where the store was before the fault.

    Raises:
        HarnessError: nobody noted it.
    """
    match scene.before.noted.get("store"):
        case [str(host), int(port)]:
            return host, port
    raise HarnessError("nobody noted where the model store is before the fault")


def refusals(world: World, targets: Sequence[Target], host: str, port: int) -> dict[str, str]:
    """Return why each node that was hit does not reach the store; empty where it does."""
    nodes = [one.node for one in targets if one.kind == "node"]
    ask = partial(_connected, world, host, port)
    return dict(zip(nodes, side_by_side(ask, nodes), strict=True))


def _connected(world: World, host: str, port: int, node: str) -> str:
    return connected(world.agent, node, host, port)
