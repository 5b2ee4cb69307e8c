"""How a worker joins: it gets its images, becomes a Node, and its kubelet may start."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.cluster.kube import Kubectl
from hotfire.lab.machine import node_files, worker
from hotfire.lab.machine.machines import Rack
from hotfire.lab.shape.topology import Machine
from hotfire.waiting import until

_HELD = ("kubelet", "kube-proxy", "address-announcer")


def hold(rack: Rack, node: Machine) -> None:
    """Keep back what asks the API server until it answers: a kubelet's retries back off too far."""
    for service in _HELD:
        rack.hold(node.name, service)


def deliver_images(rack: Rack, node: Machine, archive: Path) -> None:
    """Put an archive of images on a worker's disk; it may be off."""
    destination = rack.inside(node.name, worker.IMAGE_ARCHIVE)
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(archive, destination)


def import_images(rack: Rack, node: Machine) -> None:
    """Make the delivered images known to the worker's containerd."""
    until(
        lambda: _containerd_serves(rack, node),
        within_seconds=20,
        what=f"containerd serving on {node.name}",
        poll_seconds=0.05,
    )
    base = ["ctr", "--address", node_files.CONTAINERD_SOCKET, "--namespace", "k8s.io"]
    rack.run(node.name, [*base, "images", "import", "--local", worker.IMAGE_ARCHIVE])


def _containerd_serves(rack: Rack, node: Machine) -> bool:
    if rack.pid(node.name) is None:
        raise LabError(f"machine {node.name} went off during its start")
    log = rack.log(node.name, "containerd")
    return log.exists() and "containerd successfully booted" in log.read_text()


def create(kubectl: Kubectl, items: Iterable[Mapping[str, object]]) -> None:
    """Create objects that are not there yet, in one request each."""
    rows = {"apiVersion": "v1", "kind": "List", "items": list(items)}
    kubectl.run("create", "--filename=-", stdin=json.dumps(rows))


def release(rack: Rack, node: Machine) -> None:
    """Let the kubelet start; the worker's Node object must be there."""
    for service in _HELD:
        rack.release(node.name, service)
