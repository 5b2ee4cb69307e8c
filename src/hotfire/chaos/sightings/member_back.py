"""A service of the control plane runs again where it was away, and the API answers."""

from typing import Literal

from hotfire.chaos.readings import service
from hotfire.chaos.sighting import EachTarget, Scene, Sighting, all_of
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.sightings.member_away import api_silence
from hotfire.chaos.written import Target

_ENGINES = EnginesReady()


class MemberBack(EachTarget):
    """A process on each member, an answer of the API, and every engine as Ready as before."""

    word: Literal["member-back"] = "member-back"
    service: str

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        if silence := api_silence(scene.world):
            return Sighting("no", f"the API server does not answer: {silence}")
        return all_of([super().look(scene), _ENGINES.look(scene)])

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one member."""
        pid = service(scene.world.agent, target.node, self.service).pid
        words = f"{self.service} on {target.node}: process {pid or 'none'}"
        return Sighting.of(pid is not None, words)
