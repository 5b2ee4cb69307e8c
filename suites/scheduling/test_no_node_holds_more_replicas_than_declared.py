"""No node holds more replicas of a model than declared.

Replicas are there so that one node's loss costs one of them. Where they may share a node they will,
on the day when another node is full, and nobody notices until that node is gone. What is merely
preferred holds only as long as there is room elsewhere.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from fixtures.accelerators import asked_for
from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Decision, Scratch
from fixtures.stack import Stack
from fixtures.stand_ins import IDLE, engine_rules, open_to_engines
from fixtures.survey import Survey
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Node, pinned, rules_about_nodes
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SCH-004",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity",
    scope=Scope.CORE,
)

# In the scheduler's words: what keeps replicas apart.
APART = ("anti-affinity rules", "topology spread constraints")


def test_no_node_holds_more_now(
    profile: TargetProfile, stack: Stack, survey: Survey, evidence: Evidence
) -> None:
    held = Counter(one.pod.node for one in survey.engines() if one.pod.node)
    evidence.record("replicas_by_node", dict(held))
    if not held:
        raise HarnessError(f"no pod in {profile.namespace} is labelled {profile.engine.selector}")

    over = {node: count for node, count in held.items() if count > profile.engine.replicas_per_node}
    assert not over, f"{profile.engine.replicas_per_node} a node were declared, there are {over}"


def test_each_node_refuses_one_replica_more(
    profile: TargetProfile, cluster: Cluster, stack: Stack, scratch: Scratch, evidence: Evidence
) -> None:
    found = engine_rules(cluster, stack)
    rules, labels = found.rules, found.labels
    declared = profile.engine.replicas_per_node
    nodes = with_room_for_more(profile, cluster, found.engine, evidence)
    evidence.record("rules", rules)
    evidence.record("labels_they_look_at", labels)

    for name in nodes:
        for number in range(declared + 1):
            besides = pinned(rules, name)
            pod = f"replica-{number}-{name}"
            scratch.pod(pod, argv=IDLE, labels=labels, spec_besides=besides)
        # Negative control: a pod of another model, under the same rules about nodes.
        besides = pinned(rules_about_nodes(rules), name)
        scratch.pod(f"another-{name}", argv=IDLE, spec_besides=besides)
    decisions = scratch.decisions() if nodes else {}
    evidence.record("decisions", {name: asdict(each) for name, each in decisions.items()})

    for name in open_to_engines(nodes, decisions):
        replicas = [decisions[f"replica-{number}-{name}"] for number in range(declared + 1)]
        bound = sum(bool(each.node) for each in replicas)
        assert bound <= declared, f"{name} took {bound} replicas, {declared} were declared"
        refused_to_keep_apart(name, replicas)


def with_room_for_more(
    profile: TargetProfile, cluster: Cluster, engine: Document, evidence: Evidence
) -> list[str]:
    """Return the nodes whose accelerators would suffice for more replicas than declared.

    A replica that takes the whole node keeps others away by its size.
    """
    resource = profile.accelerator.resource
    needed = asked_for(engine, resource)

    def room(node: Node) -> int | None:
        return int(node.allocatable.get(resource, "0")) // needed if needed else None

    nodes = probed_nodes(cluster, profile, evidence)
    if not nodes:
        raise HarnessError(f"no node has {profile.accelerator.node_selector}; set `accelerator`")
    rooms = {node.name: room(node) for node in nodes if node.ready and not node.unschedulable}
    evidence.record("replicas_that_accelerators_suffice_for", rooms)
    declared = profile.engine.replicas_per_node
    return [name for name, most in rooms.items() if most is None or most > declared]


def refused_to_keep_apart(node: str, replicas: Sequence[Decision]) -> None:
    """Make sure that a refusal had the reason that was to be seen.

    Raises:
        HarnessError: the first replica was refused already, or one for something else.
    """
    refusals = [each.refusal for each in replicas if not each.node]
    if len(refusals) == len(replicas):
        raise HarnessError(f"{node} took no stand-in for a replica at all: {refusals[0]}")
    for refusal in refusals:
        if not any(words in refusal for words in APART):
            raise HarnessError(f"{node} refused a replica, not to keep them apart: {refusal}")
