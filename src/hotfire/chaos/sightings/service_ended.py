"""The process of a service is another than before, or there is none."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import service
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class ServiceEnded(EachTarget):
    """A service whose process is gone."""

    word: Literal["service-ended"] = "service-ended"
    service: str

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return its process on each node."""
        return {one.uid: service(world.agent, one.node, self.service).pid for one in plan.targets}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one link."""
        before = scene.before.noted.get(target.uid)
        if not isinstance(before, int):
            raise HarnessError(f"nobody noted a process of {self.service} on {target.node} before")
        now = service(scene.world.agent, target.node, self.service).pid
        words = f"{self.service} on {target.node}: process {before} before, {now or 'none'} now"
        return Sighting.of(now != before, words)
