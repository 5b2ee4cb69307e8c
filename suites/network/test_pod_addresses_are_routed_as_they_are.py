"""Pod addresses are routable end to end without NAT or encapsulation.

Behind a translated address all pods of a node are one client: policies, logs and rate limits take
them for each other, and connections die when the translating node changes its mind. A tunnel costs
MTU, hides flows from the fabric, and shows a fault on the way as loss somewhere.
"""

from fixtures.datagrams import ANSWERED, ECHO_PORT, WHO, Datagrams, Outcome
from fixtures.fabric import FLOWS, FLOWS_PORT, Fabric
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, requirement
from hotfire.chaos.fabric import Crossing
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import until

pytestmark = requirement(
    "NET-002",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/services-networking/#the-kubernetes-network-model",
    features={"routed-pods"},
)

MOST_HOPS = 16
SERVICE = "echo"


def test_peers_see_the_address_of_the_pod(
    cluster: Cluster, fabric: Fabric, datagrams: Datagrams, scratch: Scratch, evidence: Evidence
) -> None:
    addresses = datagrams.start({name: name for name in fabric.ring})
    seen = {
        name: datagrams.ask(name, to=addresses[far], text=WHO)[0]
        for name, far in fabric.ring.items()
    }
    evidence.record("addresses", addresses)
    evidence.record("seen_by_peers", {name: outcome.said for name, outcome in seen.items()})

    for name, far in fabric.ring.items():
        outcome = seen[name]
        assert outcome.word == ANSWERED, f"a pod on {far} does not answer one on {name}: {outcome}"
        assert outcome.said == addresses[name], (
            f"a pod on {far} sees {outcome.said} where {addresses[name]} on {name} asks"
        )
    translated = through_another_node(cluster, fabric, datagrams, scratch)
    evidence.record("seen_through_a_node_port", translated.said)
    if translated.said in addresses.values():
        raise HarnessError(f"a way with source NAT shows the pod's address {translated.said}")


def through_another_node(
    cluster: Cluster, fabric: Fabric, datagrams: Datagrams, scratch: Scratch
) -> Outcome:
    """Negative control: ask by way of another node, which has to put itself in between."""
    one, other, *_ = fabric.nodes
    port = {"port": ECHO_PORT, "targetPort": ECHO_PORT, "protocol": "UDP"}
    spec = {"type": "NodePort", "selector": {"app": one.name}, "ports": [port]}
    document = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE}, "spec": spec}
    made = cluster.create(document, namespace=scratch.namespace)
    node_port = int(made["spec"]["ports"][0]["nodePort"])

    def asked() -> Outcome | None:
        [found] = datagrams.ask(
            one.name, to=other.internal_ip, port=node_port, text=WHO, seconds=1.0
        )
        return found if found.word == ANSWERED else None

    found = until(asked, within_seconds=20, what=f"an answer by way of {other.name}:{node_port}")
    assert found is not None
    return found


def test_uplinks_carry_pod_addresses_and_no_tunnel(fabric: Fabric, evidence: Evidence) -> None:
    addresses = fabric.start_flows()
    fabric.await_sessions()
    crossings = fabric.crossings(fabric.nodes, fabric.uplinks, port=FLOWS_PORT)
    bare = {
        name: {way: bare_flows(rows, way, addresses) for way in ("out", "in")}
        for name, rows in crossings.items()
    }
    evidence.record("flows_between_pod_addresses", bare)

    for name, counts in bare.items():
        assert counts == {"out": FLOWS, "in": FLOWS}, (
            f"{FLOWS} flows leave and enter {name}; on {fabric.uplinks} pod addresses show {counts}"
        )


def bare_flows(crossings: list[Crossing], direction: str, pods: frozenset[str]) -> int:
    """Return how many flows between pods went by as they are."""
    return sum(
        len(each.source_ports)
        for each in crossings
        if each.direction == direction and {each.source, each.destination} <= pods
    )


def test_every_hop_between_pods_says_who_it_is(
    fabric: Fabric, datagrams: Datagrams, evidence: Evidence
) -> None:
    addresses = datagrams.start({name: name for name in fabric.ring})
    routes = {name: hops(datagrams, name, addresses[far]) for name, far in fabric.ring.items()}
    evidence.record("hops", routes)

    for name, route in routes.items():
        assert all(route), f"from a pod on {name}, hops that say nothing (empty): {route}"
        assert route[-1] in addresses.values(), f"from {name}: no end within {MOST_HOPS} hops"


def hops(datagrams: Datagrams, pod: str, to: str) -> list[str]:
    """Return who answers on the way to an address, which comes last; empty where nobody does."""
    found: list[str] = []
    while to not in found and len(found) < MOST_HOPS:
        [outcome] = datagrams.ask(pod, to=to, hops=len(found) + 1, seconds=1.5)
        found.append(outcome.by)
    return found
