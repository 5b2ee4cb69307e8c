"""Node networking and the control plane each start without the other.

After a power cut everything starts at once. Where the routes of a node wait for the API, and the
API for a name or an add-on that runs on nodes, neither comes first, and nobody who could break the
ring gets in. For about half a minute one node and every API server are away.
"""

from functools import partial

from fixtures.outage import OFF_SECONDS, ClusterDns, Onlookers, Outage
from fixtures.reboots import Household
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "CLU-006",
    Level.MUST,
    __doc__,
    source="https://aws.amazon.com/builders-library/static-stability-using-availability-zones/",
    features={"control-plane-services", "node-power", "routed-pods"},
)

SILENT = "no answer"


def test_pods_of_a_node_are_announced_again_without_the_api(
    household: Household, onlookers: Onlookers, outage: Outage, evidence: Evidence
) -> None:
    name, before = household.node.name, onlookers.hearing()
    if not before:
        raise HarnessError(
            f"no machine that is asked without the API hears of {', '.join(onlookers.networks)},"
            f" the pods of {name}; name one that speaks BGP in control_plane.agents"
        )
    with outage.with_boot_of(household.node):
        # Negative control: a node that is off is heard of by nobody.
        if still := onlookers.hearing():
            raise HarnessError(f"{', '.join(still)} heard of {name} when the API had gone")
        again = of_target(
            partial(heard_again, onlookers, outage, before),
            within_seconds=OFF_SECONDS + outage.within_seconds,
            what=f"the pods of {name} announced to {', '.join(sorted(before))}",
            poll_seconds=0.5,
        )
    with_api = of_target(
        lambda: before <= onlookers.hearing(), within_seconds=outage.within_seconds, what=again.what
    )
    evidence.record("node", name)
    evidence.record("heard_before_by", sorted(before))
    evidence.record("announced_without_the_api", bool(again))

    if not with_api:
        raise HarnessError(f"with the API there again, {with_api}")
    assert again, f"only once the API was back: {again}"


def heard_again(onlookers: Onlookers, outage: Outage, before: frozenset[str]) -> bool:
    """Return whether all who heard of a node's pods do again."""
    again = before <= onlookers.hearing()
    # Negative control: whatever was seen was so without the API.
    outage.require_silence()
    return again


def test_control_plane_starts_without_dns_and_add_ons(
    cluster: Cluster, cluster_dns: ClusterDns, outage: Outage, evidence: Evidence
) -> None:
    before = cluster_dns.answers(outage.servers)
    outage.block_services(cluster)
    # Negative control: what is off is not ready.
    silence = outage.start_anew()
    ready = outage.await_ready()
    meanwhile = cluster_dns.answers(outage.servers)
    outage.breaks.undo_all()
    with_services = outage.await_ready()
    evidence.record("dns_before", before)
    evidence.record("dns_meanwhile", meanwhile)
    evidence.record("while_stopped", silence)
    evidence.record("ready_without_services", bool(ready))

    if heard := [one for one, outcome in meanwhile.items() if outcome != SILENT]:
        raise HarnessError(f"DNS answered {', '.join(heard)}, though all Services were cut off")
    if not with_services:
        raise HarnessError(f"it starts not even with all Services there: {with_services}")
    assert ready, f"only once Services were back: {ready}"
