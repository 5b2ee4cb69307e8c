"""Every GPU node has two working uplinks to two different top-of-rack routers.

A node with one way out is lost to its users when a cable, an optic or a router fails, with every
stream it serves. Two cables into one router look redundant until that router is upgraded.
"""

from collections.abc import Iterable, Sequence

from fixtures.fabric import FLOWS_PORT, NO_UPLINK, Fabric
from hotfire import Evidence, Level, Scope, requirement
from hotfire.chaos.fabric import BgpSession, Crossing
from hotfire.errors import HarnessError

pytestmark = requirement(
    "NET-001",
    Level.MUST,
    __doc__,
    source="https://datatracker.ietf.org/doc/html/rfc7938#section-5",
    features={"redundant-uplinks"},
    scope=Scope.SMOKE,
)


def working(
    links: Iterable[str], sessions: Sequence[BgpSession], crossings: Sequence[Crossing]
) -> dict[str, str]:
    """Return the router behind each link that has a session and carried flows both ways."""
    found = {}
    for link in links:
        routers = [each.router_id for each in sessions if each.link == link and each.established]
        ways = {each.direction for each in crossings if each.link == link}
        if routers and ways == {"in", "out"}:
            found[link] = routers[0]
    return found


def test_every_gpu_node_has_two_working_uplinks(fabric: Fabric, evidence: Evidence) -> None:
    fabric.start_flows()
    fabric.await_sessions()
    sessions = {node.name: fabric.sessions(node) for node in fabric.nodes}
    links = [*fabric.uplinks, NO_UPLINK]
    crossings = fabric.crossings(fabric.nodes, links, port=FLOWS_PORT)
    found = {name: working(fabric.uplinks, sessions[name], crossings[name]) for name in sessions}
    evidence.record("routers_behind_working_uplinks", found)
    evidence.record(
        "sessions", {name: [each.model_dump() for each in rows] for name, rows in sessions.items()}
    )
    evidence.record(
        "flows_by_uplink",
        {
            name: [(row.link, row.direction, len(row.source_ports)) for row in rows]
            for name, rows in crossings.items()
        },
    )

    for name, routers in found.items():
        assert len(routers) >= 2, f"{name} works over {routers or 'no uplink'} of {fabric.uplinks}"
        assert len(set(routers.values())) >= 2, f"{name} has all uplinks at one router: {routers}"
    # Negative control: where a link leads nowhere, one fewer works.
    for name, rows in crossings.items():
        only = working([fabric.uplinks[0], NO_UPLINK], sessions[name], rows)
        if len(only) != 1:
            raise HarnessError(f"{name}: of one uplink and {NO_UPLINK}, {only} are said to work")
