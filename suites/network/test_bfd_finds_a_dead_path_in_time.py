"""BFD finds a dead path within the declared detection time.

A path that passes nothing while its carrier stays is found by BGP's hold timer only, after seconds
in which every second stream stands. What BFD promises is read from its sessions here; that routes
follow when a path really dies is the fault FLT-NET-001.
"""

from collections.abc import Sequence

from fixtures.fabric import NO_UPLINK, Fabric
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_answers import BfdSession
from hotfire.cluster import Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "NET-005",
    Level.MUST,
    __doc__,
    source="https://datatracker.ietf.org/doc/html/rfc5882#section-4.2",
    features={"redundant-uplinks"},
)

# Daemons tell times in whole milliseconds.
ROUNDING_SECONDS = 0.001


def shortcomings(
    link: str, sessions: Sequence[BfdSession], *, detection_seconds: float
) -> list[str]:
    """Return why a path over a link, if it died, would not be found in time."""
    if not sessions:
        return [f"{link} has no BFD session"]
    found = []
    for each in sessions:
        if each.state != "Up":
            found.append(f"the BFD session of {link} with {each.neighbour} is {each.state}")
        elif each.timeout_seconds > detection_seconds + ROUNDING_SECONDS:
            found.append(f"{link} finds {each.neighbour} dead after {each.timeout_seconds:g} s")
    return found


def read(fabric: Fabric) -> dict[tuple[str, str], list[BfdSession]]:
    """Return the BFD sessions by node and uplink."""
    return {
        (node.name, link): fabric.bfd(node, link)
        for node in fabric.nodes
        for link in fabric.uplinks
    }


def test_every_uplink_promises_the_declared_detection_time(
    profile: TargetProfile, fabric: Fabric, evidence: Evidence
) -> None:
    declared = profile.fabric.bfd_detection_seconds
    fabric.await_sessions()
    sessions = read(fabric)
    evidence.record("declared_detection_seconds", declared)
    evidence.record(
        "bfd",
        {f"{n} {link}": [s.model_dump() for s in rows] for (n, link), rows in sessions.items()},
    )

    for (name, link), rows in sessions.items():
        wrong = shortcomings(link, rows, detection_seconds=declared)
        assert not wrong, f"{name}: {'; '.join(wrong)}; declared are {declared:g} s"
    for node in fabric.nodes:
        check_control(fabric, node, sessions[node.name, fabric.uplinks[0]], declared)


def check_control(
    fabric: Fabric, node: Node, sessions: Sequence[BfdSession], declared: float
) -> None:
    """Negative control: a link without BFD is noticed, and a time that is not kept."""
    nowhere = shortcomings(NO_UPLINK, fabric.bfd(node, NO_UPLINK), detection_seconds=declared)
    late = shortcomings("uplink", sessions, detection_seconds=sessions[0].timeout_seconds / 2)
    if not nowhere or not late:
        raise HarnessError(f"{node.name}: {NO_UPLINK} without BFD gives {nowhere}, half: {late}")
