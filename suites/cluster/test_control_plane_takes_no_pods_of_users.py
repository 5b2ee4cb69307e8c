"""The control plane runs on nodes that accept neither engine nor user pods.

etcd and the API servers have nothing to spare for a pod that takes its node's memory or disk: what
was to hurt one engine then hurts whatever would have replaced it. A taint keeps others away; an
engine that tolerates everything, as some charts let it, passes every taint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pytest

from fixtures.control_plane import runs
from fixtures.scratch import Decision, Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Document, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "CLU-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/setup/production-environment/#production-control-plane",
)

IDLE = ["sleep", "600"]
ROLE = "node-role.kubernetes.io/control-plane"
"""Label of its nodes, with whatever value."""
# Of a node's condition, not of its role: they come and go by themselves.
PASSING = "node.kubernetes.io/"
KEEPS_OFF = ("NoSchedule", "NoExecute")
KUBELET = "kubelet"


def tolerations(node: Node, *, all_of_them: bool) -> list[Document]:
    """Return what tolerates a node's passing taints, or all of its taints."""
    return [
        {"key": taint.key, "operator": "Exists", "effect": taint.effect}
        for taint in node.taints
        if all_of_them or taint.key.startswith(PASSING)
    ]


def tolerated_by_engines(cluster: Cluster, stack: Stack) -> list[Document]:
    """Return the tolerations of an engine as it runs.

    Raises:
        HarnessError: there is none to read them from.
    """
    for pod in stack.engines():
        if document := cluster.get("Pod", pod.namespace, pod.name):
            return list(document["spec"].get("tolerations") or ())
    raise HarnessError(f"no engine runs in {stack.namespace}: what it tolerates is not known")


def accepted(decisions: Mapping[str, Decision]) -> dict[str, str]:
    """Return the pods that were bound, with their nodes."""
    return {name: each.node for name, each in decisions.items() if each.node}


@pytest.fixture
def nodes(cluster: Cluster) -> list[Node]:
    """The nodes of the control plane; none where it runs on machines that are no nodes."""
    return [node for node in cluster.nodes() if ROLE in node.labels]


@pytest.fixture
def machines(profile: TargetProfile, cluster: Cluster, nodes: Sequence[Node]) -> list[str]:
    """Its machines that are no nodes, as the target file names them.

    Raises:
        HarnessError: neither a node nor a machine of the control plane is known.
    """
    there = {node.name for node in cluster.nodes()}
    found = [name for name in sorted(profile.control_plane.agents) if name not in there]
    if not (nodes or found):
        raise HarnessError(
            f"no node is labelled {ROLE}, and control_plane.agents names no machine: where the"
            " control plane runs is not known; label its nodes, or name its machines"
        )
    return found


def test_pods_of_users_and_engines_stay_pending(
    cluster: Cluster, stack: Stack, nodes: list[Node], scratch: Scratch, evidence: Evidence
) -> None:
    engines = tolerated_by_engines(cluster, stack)
    for node in nodes:
        passing = tolerations(node, all_of_them=False)
        for whose, tolerated in (("user", passing), ("engine", [*engines, *passing])):
            besides = {"tolerations": tolerated}
            scratch.pod(f"{whose}-{node.name}", argv=IDLE, node=node.name, spec_besides=besides)
    decisions = scratch.decisions() if nodes else {}
    evidence.record("taints", {node.name: [asdict(t) for t in node.taints] for node in nodes})
    evidence.record("tolerated_by_engines", engines)
    evidence.record("decisions", {name: asdict(each) for name, each in decisions.items()})

    bound = accepted(decisions)
    assert not bound, "; ".join(f"{node} accepted the pod {pod}" for pod, node in bound.items())
    for pod, decision in decisions.items():
        # Newer schedulers no longer name the taint; that it is one is shown by the next case.
        assert "untolerated taint" in decision.refusal, f"{pod}: {decision.refusal}"


def test_pods_with_the_toleration_are_bound(
    nodes: list[Node], scratch: Scratch, evidence: Evidence
) -> None:
    """Negative control: the taints alone kept those pods off."""
    kept_off = [node for node in nodes if any(t.effect in KEEPS_OFF for t in node.taints)]
    for node in kept_off:
        besides = {"tolerations": tolerations(node, all_of_them=True)}
        scratch.pod(f"tolerant-{node.name}", argv=IDLE, node=node.name, spec_besides=besides)
    decisions = scratch.decisions() if kept_off else {}
    evidence.record("decisions", {name: asdict(each) for name, each in decisions.items()})

    if len(accepted(decisions)) < len(decisions):
        refused = [each.refusal for each in decisions.values() if not each.node]
        raise HarnessError(f"a pod that tolerates every taint was refused, too: {refused[0]}")


def test_machines_that_are_no_nodes_run_no_kubelet(
    cluster: Cluster, machines: list[str], agent: AgentClient, evidence: Evidence
) -> None:
    kubelets = {name: runs(agent, name, KUBELET) for name in machines}
    evidence.record("kubelets", kubelets)

    with_one = [name for name, there in kubelets.items() if there]
    assert not with_one, f"{', '.join(with_one)} run a kubelet, which takes pods"
    if not machines:
        return
    # Negative control: where pods do run the same question finds it.
    node, *_ = agent.nodes()
    if not runs(agent, node, KUBELET):
        raise HarnessError(f"{node} is seen running no service {KUBELET}, so none can be missed")
