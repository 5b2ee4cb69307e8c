"""The lab's names and addresses are unique, paired and the same on every machine."""

from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest

from hotfire.lab.shape.topology import (
    NAMESPACE_PATTERN,
    POD_NETWORK,
    SERVICE_NETWORK,
    Role,
    Topology,
)

SHAPES = [(1, 1, 0, 1), (3, 3, 2, 1), (8, 3, 8, 3)]


@pytest.fixture(params=SHAPES, ids=str)
def topology(request: pytest.FixtureRequest) -> Topology:
    nodes, racks, gpus, members = request.param
    return Topology(nodes=nodes, racks=racks, gpus_per_node=gpus, control_planes=members)


def test_every_machine_has_its_own_name_address_and_autonomous_system(topology: Topology) -> None:
    machines = topology.machines

    assert len(machines) == topology.nodes + topology.control_planes + 4
    for rows in zip(*((m.name, m.address, m.asn) for m in machines), strict=True):
        assert len(set(rows)) == len(machines)


def test_every_cable_is_a_pair_of_neighbours_on_a_network_of_its_own(topology: Topology) -> None:
    for link in topology.links:
        pair = {link.router_address.ip, link.machine_address.ip}
        assert link.router_address.network == link.machine_address.network
        assert set(link.router_address.network) == pair
    networks = {link.router_address.network for link in topology.links}
    assert len(networks) == len(topology.links)


def test_everything_but_routers_hangs_on_both_routers(topology: Topology) -> None:
    for machine in topology.attached:
        links = topology.links_of(machine)
        assert [link.router.name for link in links] == ["r1", "r2"]
        assert [link.uplink for link in links] == ["up1", "up2"]
    for router in topology.routers:
        ports = [link.port for link in topology.links_of(router)]
        assert ports == [machine.name for machine in topology.attached]


def test_workers_stand_in_racks_round_robin() -> None:
    topology = Topology(nodes=5, racks=2)

    racks = [worker.rack for worker in topology.workers]

    assert racks == ["rack-1", "rack-2", "rack-1", "rack-2", "rack-1"]


def test_racks_differ_by_at_most_one_worker(topology: Topology) -> None:
    sizes = Counter(worker.rack for worker in topology.workers).values()

    assert max(sizes) - min(sizes) <= 1


def test_pod_networks_lie_apart_inside_the_clusters(topology: Topology) -> None:
    networks = [IPv4Network(worker.pod_network or "") for worker in topology.workers]

    assert all(network.subnet_of(POD_NETWORK) for network in networks)
    assert not any(a.overlaps(b) for a, b in combinations(networks, 2))


def test_no_machine_or_cable_has_a_pod_or_service_address(topology: Topology) -> None:
    addresses = [IPv4Address(machine.address) for machine in topology.machines]
    addresses += [link.router_address.ip for link in topology.links]

    assert not any(each in POD_NETWORK or each in SERVICE_NETWORK for each in addresses)


def test_every_gpu_of_the_lab_has_its_own_uuid(topology: Topology) -> None:
    uuids = [uuid for worker in topology.workers for uuid in worker.gpus]

    assert len(set(uuids)) == topology.nodes * topology.gpus_per_node == len(uuids)


def test_same_shape_gives_the_same_lab() -> None:
    first, second = Topology(nodes=4, racks=2), Topology(nodes=4, racks=2)

    assert first.machines == second.machines
    assert first.links == second.links


def test_workers_keep_their_addresses_when_the_lab_grows() -> None:
    small, large = Topology(nodes=2), Topology(nodes=6)

    assert large.workers[:2] == small.workers


def test_machine_is_found_by_name_and_a_wrong_name_lists_the_right_ones() -> None:
    topology = Topology(nodes=1)

    assert topology.machine("cp1").role is Role.CONTROL_PLANE
    with pytest.raises(KeyError, match="no machine 'n2'; there are r1, r2, n1, cp1, store, client"):
        topology.machine("n2")


def test_members_of_the_control_plane_stand_one_in_each_rack() -> None:
    racks = [member.rack for member in Topology(control_planes=3).members]

    assert racks == ["rack-1", "rack-2", "rack-3"]


def test_every_uplink_ends_at_a_router_of_its_own() -> None:
    topology = Topology(uplinks=4)

    for machine in topology.attached:
        assert len({link.router for link in topology.links_of(machine)}) == 4


def test_workers_without_gpus_come_last_and_share_nothing_with_the_others() -> None:
    topology = Topology(nodes=2, cpu_nodes=2, pool_nodes=(3,))

    names = [worker.name for worker in topology.workers]
    small = [worker for worker in topology.workers if worker.small]

    assert names == ["n1", "n2", "n3", "c1", "c2"]
    assert [(each.name, each.gpus, each.rack) for each in small] == [
        ("c1", (), "rack-1"),
        ("c2", (), "rack-2"),
    ]
    assert len({each.address for each in topology.machines}) == len(topology.machines)
    assert all(NAMESPACE_PATTERN.fullmatch(each.network_namespace) for each in small)


def test_node_pools_workers_come_after_the_others() -> None:
    names = [worker.name for worker in Topology(nodes=2, pool_nodes=(5,)).workers]

    assert names == ["n1", "n2", "n5"]
