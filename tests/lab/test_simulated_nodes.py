"""Nodes that kwok plays stand beside the real ones, and go without a trace."""

import pytest

from bench.fleet import standing
from bench.simulated import ENGINES, MARK, NAMESPACE, RESOURCE
from hotfire import TargetProfile
from hotfire.cluster import Cluster
from hotfire.lab import default_target
from hotfire.lab.lab import Lab
from tests.scaled import extended

pytestmark = [pytest.mark.lab, pytest.mark.add_on]

NODES = 5
LEASES = {"namespace": "kube-node-lease", "api_version": "coordination.k8s.io/v1"}


@pytest.fixture
def profile(lab: Lab) -> TargetProfile:
    """The lab with kwok; builds it where the cache lacks it."""
    del lab
    extended("kwok")
    return TargetProfile.read(default_target())


def test_simulated_nodes_offer_accelerators_and_hold_pods(profile: TargetProfile) -> None:
    cluster = Cluster.connect(profile)
    with standing(profile, NODES):
        nodes, engines = cluster.nodes(MARK), cluster.pods(NAMESPACE)
        strangers = {pod.name for pod in cluster.pods(None) if pod.node in {n.name for n in nodes}}

    assert [(node.ready, node.allocatable[RESOURCE]) for node in nodes] == NODES * [(True, "8")]
    assert [pod.serving for pod in engines] == NODES * ENGINES * [True]
    # What serves the platform on every node leaves these alone: it would never answer there.
    assert strangers == {pod.name for pod in engines}


def test_nothing_is_left_of_them(profile: TargetProfile) -> None:
    cluster = Cluster.connect(profile)
    before = {one["metadata"]["name"] for one in cluster.list("Lease", **LEASES)}

    with standing(profile, NODES):
        pass

    assert cluster.nodes(MARK) == []
    assert not cluster.has_namespace(NAMESPACE)
    assert {one["metadata"]["name"] for one in cluster.list("Lease", **LEASES)} == before
