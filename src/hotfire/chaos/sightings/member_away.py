"""A service of the control plane does not run on the members that were hit."""

from typing import Final, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.readings import service
from hotfire.chaos.sighting import EachTarget, Scene, Sighting, all_of
from hotfire.chaos.written import Target
from hotfire.errors import ClusterError, Forbidden

_ANYTHING: Final = "kube-system"
"""A namespace that every cluster has; reading it asks the whole of etcd's quorum."""
_TOLD: Final = 120
"""Characters of an error that words quote."""


class MemberAway(EachTarget):
    """No process of it, by the member's agent; what became of the API, by our own question."""

    word: Literal["member-away"] = "member-away"
    service: str
    api: Literal["silent", "answers"]
    """Whether the loss takes the API away from everybody."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether it is so of every member, and of the API."""
        silence = api_silence(scene.world)
        words = f"the API server, asked for a namespace: {silence or 'answers'}"
        return all_of(
            [super().look(scene), Sighting.of(bool(silence) is (self.api == "silent"), words)]
        )

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one member."""
        pid = service(scene.world.agent, target.node, self.service).pid
        words = f"{self.service} on {target.node}: process {pid or 'none'}"
        return Sighting.of(pid is None, words)


def api_silence(world: World) -> str:
    """Return why the API server does not answer what needs a quorum; empty: it does.

    Raises:
        Forbidden: it answers that we may not ask.
    """
    try:
        # Once: this silence is what is looked for.
        world.cluster.expecting_silence().get("Namespace", None, _ANYTHING)
    except Forbidden:
        raise
    except ClusterError as error:
        return str(error)[:_TOLD]
    return ""
