"""Nodes come and go with the pods that need them."""

from collections.abc import Iterator

import pytest

from hotfire.cluster import Cluster, Document, namespaces
from hotfire.errors import LabError
from hotfire.lab.cluster.pool_process import Limits, PoolProcess
from hotfire.lab.lab import Lab
from hotfire.lab.machine import cgroups
from hotfire.lab.network import netns
from hotfire.lab.pool.node_pool import NodePool
from hotfire.lab.shape.progress import Progress
from hotfire.profile import TargetProfile
from hotfire.waiting import pause, until

pytestmark = pytest.mark.lab

NAMESPACE = "pool-test"


@pytest.fixture
def cluster(lab: Lab) -> Iterator[Cluster]:
    """The lab's cluster with an empty namespace for what wants GPUs."""
    found = Cluster.connect(TargetProfile.read(lab.state.target))
    made = namespaces.create(found, NAMESPACE, run_id="tests")
    yield found
    namespaces.delete(found, NAMESPACE, uid=made["metadata"]["uid"], pods_grace_seconds=1)
    until(
        lambda: found.get("Namespace", None, NAMESPACE) is None,
        within_seconds=60,
        what=f"namespace {NAMESPACE} gone",
    )


@pytest.fixture
def pool(lab: Lab) -> Iterator[NodePool]:
    """The lab's node pool; whatever was added to it goes again."""
    pool = NodePool(lab, Progress(print))
    yield pool
    PoolProcess(lab.state).stop()
    for number in lab.topology().pool_nodes:
        pool.remove(f"n{number}")


def gpu_pod(name: str, *, gpus: int) -> Document:
    container = {
        "name": "main",
        "image": "docker.io/library/python:3.11-slim",
        "command": ["sleep", "infinity"],
        "resources": {"limits": {"nvidia.com/gpu": gpus}},
    }
    spec = {
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def free_gpus(lab: Lab, cluster: Cluster) -> int:
    pods = cluster.list("Pod", field_selector="status.phase!=Succeeded,status.phase!=Failed")
    taken = sum(
        int(container.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0))
        for pod in pods
        for container in pod["spec"]["containers"]
    )
    return sum(len(worker.gpus) for worker in lab.topology().workers) - taken


def nodes(cluster: Cluster) -> set[str]:
    return {node.name for node in cluster.nodes() if node.ready}


def test_added_node_speaks_bgp_over_both_uplinks_and_leaves_nothing_behind(
    lab: Lab, cluster: Cluster, pool: NodePool
) -> None:
    node = pool.add()

    assert nodes(cluster) == {worker.name for worker in lab.topology().workers}
    assert lab.rack.run(node.name, ["birdc", "show", "bfd", "sessions"]).count(" Up ") == 2
    route = lab.rack.run("n1", ["ip", "route", "show", str(node.pod_network)])
    assert route.count("nexthop") == 2

    pool.remove(node.name)

    assert node.name not in {each.name for each in cluster.nodes()}
    assert not netns.path(node.network_namespace).exists()
    assert not [path for path in cgroups.left() if node.name in path.parts]
    assert not lab.rack.home(node.name).exists()
    assert node.name not in lab.rack.run("r1", ["birdc", "show", "protocols"])


def test_pool_adds_a_node_for_the_pod_that_fits_one_and_takes_it_away_again(
    lab: Lab, cluster: Cluster, pool: NodePool
) -> None:
    first = nodes(cluster)
    wanted = [gpu_pod(f"wants-{index}", gpus=1) for index in range(free_gpus(lab, cluster) + 1)]
    PoolProcess(lab.state).start(Limits(least=3, most=5, cooldown_seconds=4))

    cluster.apply([gpu_pod("unsatisfiable", gpus=3), *wanted], namespace=NAMESPACE)
    until(
        lambda: [pod.phase for pod in cluster.pods(NAMESPACE)].count("Running") == len(wanted),
        within_seconds=60,
        what="every satisfiable pod Running",
    )
    assert len(nodes(cluster) - first) == 1

    for pod in wanted:
        cluster.delete("Pod", NAMESPACE, pod["metadata"]["name"])
    until(lambda: nodes(cluster) == first, within_seconds=60, what="the added node gone")
    (left,) = cluster.pods(NAMESPACE)
    assert (left.name, left.phase) == ("unsatisfiable", "Pending")


def test_pod_that_a_fresh_node_did_not_help_gets_no_second_one(
    lab: Lab, cluster: Cluster, pool: NodePool
) -> None:
    first, process = nodes(cluster), PoolProcess(lab.state)
    process.start(Limits(least=3, most=5, cooldown_seconds=3))
    # The pool's reckoning knows nothing of affinity to other pods.
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"no": "pod"}},
    }
    pod = gpu_pod("particular", gpus=1)
    pod["spec"]["affinity"] = {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    }

    cluster.apply([pod], namespace=NAMESPACE)
    until(
        lambda: "particular was not placed on" in process.log.read_text(),
        within_seconds=60,
        what="the pool gives up on the pod",
    )
    until(lambda: nodes(cluster) == first, within_seconds=30, what="the added node gone")

    pause(4, why="the pool looks a few times more")
    assert process.log.read_text().count("waits for 1 GPUs") == 1


def test_node_with_a_pod_that_nobody_would_make_again_stays(
    cluster: Cluster, pool: NodePool
) -> None:
    node = pool.add()
    pod = gpu_pod("nobodys", gpus=0)
    cluster.apply([pod | {"spec": pod["spec"] | {"nodeName": node.name}}], namespace=NAMESPACE)

    with pytest.raises(LabError, match="nobodys"):
        pool.remove(node.name, drain_seconds=5)

    (found,) = [each for each in cluster.nodes() if each.name == node.name]
    assert not found.unschedulable
    cluster.delete("Pod", NAMESPACE, "nobodys")
    until(lambda: not cluster.pods(NAMESPACE), within_seconds=20, what="the pod gone")
