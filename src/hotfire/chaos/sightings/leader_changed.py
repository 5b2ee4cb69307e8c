"""Another leader than before holds the Lease."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.steps.lease_take import TAKER
from hotfire.chaos.targets.leader import LEASES, holder
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile

# The Lease lasts 15 s; whoever waits for it looks every 2 s, and a controller starts meanwhile.
_SECONDS: Final = 45.0


class LeaderChanged(EachTarget):
    """The holder's identity is another one, and not our own."""

    word: Literal["leader-changed"] = "leader-changed"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return who leads before."""
        return {"leaders": {one.uid: holder(_lease(world, one)) for one in plan.targets}}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        noted = scene.before.noted.get("leaders")
        before = str(noted.get(target.uid, "")) if isinstance(noted, dict) else ""
        if not before:
            raise HarnessError(f"nobody noted the leader of {target} before the fault")
        now = holder(_lease(scene.world, target))
        words = f"API server: {target.name} was led by {before}, now by {now or 'nobody'}"
        return Sighting.of(now not in {"", before, TAKER}, words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time until another one may take it, if that is longer."""
        return max(_SECONDS, super().within_seconds(profile, over=over))


def _lease(world: World, target: Target) -> Document:
    found = world.cluster.get("Lease", target.namespace, target.name, api_version=LEASES)
    if found is None:
        raise HarnessError(f"{target} is gone")
    return found
