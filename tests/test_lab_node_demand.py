"""A node is wanted only for pods that one would help."""

from typing import Any

import pytest
from kubernetes.utils.quantity import parse_quantity

from hotfire.lab.machine import worker
from hotfire.lab.pool.node_demand import Room, fits, quantity, request, unplaced, unschedulable
from hotfire.lab.shape.topology import Topology

TOPOLOGY = Topology()
ROOM = Room(
    labels=worker.node_labels(TOPOLOGY, TOPOLOGY.workers[0]),
    taints=[worker.GPU_TAINT],
    gpus=2,
    cores=2,
    memory_bytes=8 << 30,
)


def pod(*, gpus: int = 1, **spec: object) -> dict[str, Any]:
    container = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return {
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}], **spec},
        "status": {"phase": "Pending", "conditions": [stuck]},
    }


def affinity(*rows: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(rows)}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": required}


ZONE = "topology.kubernetes.io/zone"
CPU = {"name": "main", "resources": {"requests": {"cpu": "2500m", "nvidia.com/gpu": "1"}}}
MEMORY = {"name": "main", "resources": {"requests": {"memory": "9Gi", "nvidia.com/gpu": "1"}}}
FITTING = {
    "plain": pod(),
    "all GPUs": pod(gpus=2),
    "toleration of the taint": pod(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]),
    "toleration by value": pod(tolerations=[{"key": "nvidia.com/gpu", "value": "present"}]),
    "selector": pod(nodeSelector={ZONE: "rack-1"}),
    "affinity": pod(affinity=affinity({"key": ZONE, "operator": "In", "values": ["rack-1"]})),
    "affinity to other": pod(affinity=affinity({"key": "x", "operator": "DoesNotExist"})),
}
NOT_FITTING = {
    "too many GPUs": pod(gpus=3),
    "too much CPU": pod(containers=[CPU]),
    "too much memory": pod(containers=[MEMORY]),
    "no toleration": pod(tolerations=[]),
    "toleration of another effect": pod(
        tolerations=[{"operator": "Exists", "effect": "NoExecute"}]
    ),
    "toleration of another value": pod(tolerations=[{"key": "nvidia.com/gpu", "value": "no"}]),
    "selector": pod(nodeSelector={ZONE: "rack-2"}),
    "affinity": pod(affinity=affinity({"key": ZONE, "operator": "NotIn", "values": ["rack-1"]})),
    "affinity of two": pod(
        affinity=affinity(
            {"key": ZONE, "operator": "Exists"}, {"key": "x", "operator": "Gt", "values": ["1"]}
        )
    ),
    "affinity of none": pod(affinity=affinity()),
}


@pytest.mark.parametrize("document", FITTING.values(), ids=FITTING)
def test_pod_fits_a_room_that_has_what_it_asks_for(document: dict[str, Any]) -> None:
    assert fits(document, ROOM)


@pytest.mark.parametrize("document", NOT_FITTING.values(), ids=NOT_FITTING)
def test_pod_does_not_fit_where_something_is_missing(document: dict[str, Any]) -> None:
    assert not fits(document, ROOM)


@pytest.mark.parametrize(
    "text", ["0", "3", "1.5", "250m", "2k", "5M", "7Ki", "2500Mi", "3Gi", "1Ti"]
)
def test_quantity_is_what_the_kubernetes_client_reads(text: str) -> None:
    assert quantity(text) == pytest.approx(float(parse_quantity(text)))


def test_start_of_a_pod_counts_where_it_asks_for_more_than_its_run() -> None:
    starts = {"name": "init", "resources": {"requests": {"nvidia.com/gpu": "2"}}}

    assert request(pod(gpus=1, initContainers=[starts]), "nvidia.com/gpu") == 2


def test_sidecar_counts_beside_the_others() -> None:
    aside = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}}

    assert request(pod(containers=[CPU], initContainers=[aside]), "cpu") == 3


def test_only_pods_that_the_scheduler_gave_up_on_and_that_want_gpus_count() -> None:
    bound = pod(nodeName="n1")
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    gated = pod()
    gated["status"]["conditions"][0]["reason"] = "SchedulingGated"

    wanted = pod()

    assert unschedulable([bound, leaving, gated, pod(gpus=0), wanted]) == [wanted]


def test_pods_beyond_what_the_rooms_hold_are_left() -> None:
    pods = [pod(), pod(gpus=2), pod(), pod()]

    left = unplaced(pods, [ROOM, ROOM])

    assert left == [pods[3]]


def test_without_a_room_every_pod_is_left() -> None:
    assert unplaced([pod()], []) == [pod()]
