"""A node that is back: its kubelet speaks again, and after a boot its pods run anew.

The API server believes a silent node for another 50 s: that it is Ready says nothing before.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hotfire.lab.cluster.kube import condition
from hotfire.lab.handles.records import Broken
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until

# A kubelet renews its lease when it starts; an engine loads its model again.
_LEASE_SECONDS, _PODS_SECONDS = 60.0, 240.0


def await_nodes(lab: Lab, topology: Topology, broken: Broken, since: datetime) -> None:
    """Wait for the nodes whose kubelet a handle took, as far as an API server can tell.

    Raises:
        HarnessError: a node did not come back in time.
    """
    kubelets = {entry.machine for entry in broken.entries if entry.args.get("service") == "kubelet"}
    silent = kubelets | ({broken.powerless} - {""})
    nodes = [node.name for node in topology.workers if node.name in silent]
    if not nodes or not lab.api_ready():
        return
    for node in nodes:
        _await(partial(_spoke, lab, node, since), _LEASE_SECONDS, f"a lease of {node}")
        if broken.powerless:
            _await(partial(_run_anew, lab, node, since), _PODS_SECONDS, f"pods on {node}")


def run_anew(pods: list[dict[str, Any]], since: datetime) -> bool:
    """Return whether every pod is Ready with containers that started since."""
    return all(
        condition(pod, "Ready") and all(_started(one) >= since for one in _containers(pod))
        for pod in pods
    )


def _await(predicate: Callable[[], bool], seconds: float, what: str) -> None:
    until(predicate, within_seconds=seconds, what=f"{what} from after it was mended")


def _spoke(lab: Lab, node: str, since: datetime) -> bool:
    (lease,) = lab.kubectl().items("lease", node, "--namespace=kube-node-lease")
    return datetime.fromisoformat(lease["spec"]["renewTime"]) >= since


def _run_anew(lab: Lab, node: str, since: datetime) -> bool:
    where = f"--field-selector=spec.nodeName={node},status.phase=Running"
    return run_anew(lab.kubectl().items("pods", "--all-namespaces", where), since)


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod["status"].get("containerStatuses", [])
    return found


def _started(container: dict[str, Any]) -> datetime:
    running = container.get("state", {}).get("running")
    if not running:
        return datetime.min.replace(tzinfo=UTC)
    return datetime.fromisoformat(running["startedAt"])
