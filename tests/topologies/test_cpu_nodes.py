"""A lab with a worker without GPUs, as real clusters have them."""

from decimal import Decimal
from typing import Any

import pytest

from hotfire.cluster.quantities import quantity
from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import Topology
from tests.gpu_pods import offered

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(empty_lab: Lab) -> Lab:
    empty_lab.up(Topology(cpu_nodes=1), Progress(print))
    return empty_lab


def test_it_is_smaller_open_to_all_and_where_the_platforms_pods_go(lab: Lab) -> None:
    [node] = lab.kubectl().items("node", "c1")
    [large] = lab.kubectl().items("node", "n1")
    pods = lab.kubectl().items("pods", "--all-namespaces", "--field-selector=spec.nodeName=c1")

    assert offered(lab, "c1") == {}
    assert "taints" not in node["spec"]
    assert memory(node) < memory(large) / 2
    names = {pod["metadata"]["name"].rsplit("-", 2)[0] for pod in pods}
    assert {"coredns", "prometheus", "envoy-gateway", "service-addresses"} <= names


def memory(node: dict[str, Any]) -> Decimal:
    return quantity(node["status"]["allocatable"]["memory"])
