"""When the parts of a starting lab are ready: the only place that waits for them."""

import http.client
import ssl
from typing import Any

from hotfire.errors import HarnessError, LabError
from hotfire.lab.cluster.kube import Kubectl, condition, serves
from hotfire.lab.gpu.gpus import MIG_RESOURCE_PREFIX, RESOURCE
from hotfire.lab.network import netns
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import API_ADDRESS, Machine, Topology
from hotfire.waiting import until


def api_ready(state: State, port: int, *, host: str = "127.0.0.1") -> bool:
    """Return whether an API server says ok to /readyz; without ``host`` asked from the host."""
    context = ssl.create_default_context(cafile=str(state.pki / "ca.crt"))
    context.load_cert_chain(state.pki / "admin.crt", state.pki / "admin.key")
    connection = http.client.HTTPSConnection(host, port, timeout=2, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_api(topology: Topology, state: State, port: int) -> None:
    """Wait until every member is ready and announced.

    Before, each that joins makes the routers spread connections anew, and open ones are reset.
    """
    members = len(topology.members)

    def announced(router: Machine) -> bool:
        shown = netns.run(router.network_namespace, ["ip", "route", "show", API_ADDRESS])
        return shown.count(" dev cp") == members

    def ready() -> bool:
        return all(map(announced, topology.routers)) and api_ready(state, port)

    until(ready, within_seconds=60, what=f"{members} API server(s) ready", poll_seconds=0.1)


def wait_nodes(topology: Topology, kubectl: Kubectl) -> None:
    def ready() -> bool:
        nodes = kubectl.items("nodes")
        return sum(condition(node, "Ready") for node in nodes) == wanted

    wanted = len(topology.workers)
    until(ready, within_seconds=60, what=f"{wanted} nodes Ready", poll_seconds=0.2)


def wait_gateway(kubectl: Kubectl) -> None:
    def programmed() -> bool:
        gateways = kubectl.items("gateways", "--namespace=envoy-gateway-system")
        return bool(gateways) and all(condition(each, "Programmed") for each in gateways)

    until(programmed, within_seconds=120, what="Gateway Programmed", poll_seconds=0.3)


def wait_add_ons(topology: Topology, kubectl: Kubectl) -> None:
    """Wait until every workload of the lab serves and the kubelets offer every GPU."""
    workers = topology.workers
    wanted = {each.name: topology.sharing(each).resources(len(each.gpus)) for each in workers}

    def ready() -> bool:
        workloads = kubectl.items("deployments,daemonsets", "--all-namespaces")
        available = all(map(serves, workloads))
        offered = {node["metadata"]["name"]: gpus(node) for node in kubectl.items("nodes")}
        return available and all(offered.get(name) == those for name, those in wanted.items())

    until(ready, within_seconds=90, what="add-ons available and every GPU", poll_seconds=0.4)


def wait_served(kubectl: Kubectl, *, within_seconds: float = 120) -> None:
    """Wait until every deployment is available, and every API that one of them serves.

    Raises:
        LabError: one is not in time; the message names it.
    """
    try:
        until(
            lambda: not _unavailable(kubectl),
            within_seconds=within_seconds,
            what="every deployment and API available",
            poll_seconds=0.5,
        )
    except HarnessError as error:
        missing = ", ".join(_unavailable(kubectl))
        raise LabError(f"not available after {within_seconds:g} s: {missing}") from error


def _unavailable(kubectl: Kubectl) -> list[str]:
    items = [*kubectl.items("deployments", "--all-namespaces"), *kubectl.items("apiservices")]
    return [each["metadata"]["name"] for each in items if not condition(each, "Available")]


def gpus(node: dict[str, Any]) -> dict[str, int]:
    """Return how many GPUs and MIG instances a Node object offers, by resource name."""
    offered = node.get("status", {}).get("allocatable", {})
    names = [name for name in offered if name == RESOURCE or name.startswith(MIG_RESOURCE_PREFIX)]
    return {name: int(offered[name]) for name in names if int(offered[name])}
