"""Traffic of every node uses both uplinks.

Where flows are not spread over all ways of equal cost, the second uplink is paid for and idle, and
the first one full: tokens wait behind a transfer though the node has bandwidth to spare.
"""

from collections.abc import Iterable, Mapping, Sequence

from fixtures.fabric import FLOWS, FLOWS_PORT, SINGLE_PORT, Fabric
from hotfire import Evidence, Level, requirement
from hotfire.chaos.fabric import Crossing
from hotfire.errors import HarnessError
from hotfire.measure.counts import accepted_counts

pytestmark = requirement(
    "NET-004",
    Level.MUST,
    __doc__,
    source="https://datatracker.ietf.org/doc/html/rfc7938#section-6",
    features={"redundant-uplinks"},
)


def leaving(links: Iterable[str], crossings: Sequence[Crossing]) -> dict[str, int]:
    """Return how many flows left a node over each link."""
    out = [each for each in crossings if each.direction == "out"]
    return {
        link: len({port for each in out if each.link == link for port in each.source_ports})
        for link in links
    }


def uneven(split: Mapping[str, int]) -> bool:
    """Return whether chance alone does not make such a split of flows over equal links."""
    accepted = accepted_counts(FLOWS, 1 / len(split))
    return any(count not in accepted for count in split.values())


def test_traffic_uses_all_uplinks(fabric: Fabric, evidence: Evidence) -> None:
    fabric.start_flows()
    fabric.await_sessions()
    many = fabric.crossings(fabric.nodes, fabric.uplinks, port=FLOWS_PORT)
    single = fabric.crossings(fabric.nodes, fabric.uplinks, port=SINGLE_PORT)
    split = {name: leaving(fabric.uplinks, rows) for name, rows in many.items()}
    of_one = {name: leaving(fabric.uplinks, rows) for name, rows in single.items()}
    evidence.record("flows_by_uplink", split)
    evidence.record("accepted", str(accepted_counts(FLOWS, 1 / len(fabric.uplinks))))
    evidence.record("single_flow_by_uplink", of_one)

    for name, counts in split.items():
        if sum(counts.values()) < FLOWS:
            raise HarnessError(
                f"{name}: {FLOWS} flows were sent to a pod of another node, {counts} were seen; "
                "name all uplinks in fabric.uplinks; inside a tunnel flows are not told apart"
            )
        assert not uneven(counts), f"{name} spreads {FLOWS} flows unevenly: {counts}"
    # Negative control: packets of one flow stay together, and are no even split.
    for name, counts in of_one.items():
        if sorted(counts.values())[-2:] != [0, 1] or not uneven(counts):
            raise HarnessError(f"{name}: a single flow is seen as {counts}")
