"""Control-plane members as their clients see them: ready by their own word, and reached or not."""

from itertools import pairwise

from hotfire.lab.cluster import readiness
from hotfire.lab.lab import Lab
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import API_ADDRESS, API_PORT, Machine, Topology

_READY, _NOBODY = "ready", "nobody"


def in_words(lab: Lab, topology: Topology, member: Machine) -> str:
    """Return whether a member is ready, and which routers send it clients."""
    word = _READY if ready(lab, topology, member) else "not ready"
    return f"{word}, clients from {', '.join(sent_by(topology, member)) or _NOBODY}"


def served(words: str) -> bool:
    """Return whether a member of which this was said was ready and had clients."""
    return words.startswith(_READY) and not words.endswith(_NOBODY)


def ready(lab: Lab, topology: Topology, member: Machine) -> bool:
    """Return whether a member's own /readyz says ok, asked from the client machine."""
    with netns.inside(topology.client.network_namespace):
        return readiness.api_ready(lab.state, API_PORT, host=member.address)


def sent_by(topology: Topology, member: Machine) -> list[str]:
    """Return the routers whose way to the API's address leads to a member."""
    return [
        link.router.name
        for link in topology.links_of(member)
        if link.port in _next_hops(link.router)
    ]


def others(topology: Topology, member: Machine) -> list[str]:
    """Return the other members that a router sends clients to."""
    return [one.name for one in topology.members if one != member and sent_by(topology, one)]


def _next_hops(router: Machine) -> set[str]:
    words = netns.run(router.network_namespace, ["ip", "route", "show", API_ADDRESS]).split()
    return {name for word, name in pairwise(words) if word == "dev"}
