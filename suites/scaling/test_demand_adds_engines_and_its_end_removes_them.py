"""An autoscaler on a metric of its own adds GPU replicas under demand, and removes them after it.

Where the metric never arrives the peak meets the engines of the night, and everything that was
declared looks right; where replicas stay, accelerators idle at the price of busy ones.
"""

from fixtures.accelerators import asked_for
from fixtures.autoscaling import READ_SECONDS, Autoscaler
from fixtures.demand import Demand
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "SCA-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#scaling-on-custom-metrics",
    features={"autoscaling"},
    cncf="schedulingOrchestration.pod_autoscaling",
)

# Longer than an autoscaler takes between two looks.
STILL_SECONDS = 16.0


def without_accelerator(cluster: Cluster, profile: TargetProfile, pods: list[Pod]) -> list[str]:
    """Return which of these engines are on no accelerator node, or ask for no accelerator."""
    nodes = {node.name for node in cluster.nodes(profile.accelerator.node_selector)}
    return [
        pod.name for pod in pods if pod.node not in nodes or not holds_one(cluster, profile, pod)
    ]


def holds_one(cluster: Cluster, profile: TargetProfile, pod: Pod) -> bool:
    found: Document = cluster.get("Pod", pod.namespace, pod.name) or {"spec": {"containers": []}}
    claimed = found["spec"].get("resourceClaims")
    return bool(claimed or asked_for(found, profile.accelerator.resource))


def test_engines_come_with_the_demand_and_go_after_it(
    cluster: Cluster,
    profile: TargetProfile,
    autoscaler: Autoscaler,
    demand: Demand,
    evidence: Evidence,
) -> None:
    calm = autoscaler.calm()
    former = {pod.uid for pod in autoscaler.serving()}
    raised = demand.raise_above_target(calm)
    evidence.record("autoscaler", autoscaler.name)
    evidence.record("demand", raised.document())
    assert raised.above, f"{raised.told}: no more than before there was any"

    grown = autoscaler.grown(calm + 1)
    newcomers = [pod for pod in autoscaler.serving() if pod.uid not in former]
    lacking = without_accelerator(cluster, profile, newcomers)
    evidence.record("engines", {"before": calm, "added": [pod.name for pod in newcomers]})
    assert grown, f"{grown}, {calm} before; {raised.told}"
    assert not lacking, f"{lacking[0]} came without an accelerator"

    demand.end()
    shrunk = autoscaler.shrunk(calm)
    evidence.record("engines_after", len(autoscaler.serving()))
    assert shrunk, f"{shrunk}; its window is {autoscaler.window_seconds():g} s"
    check_control(autoscaler, demand, evidence)


def check_control(autoscaler: Autoscaler, demand: Demand, evidence: Evidence) -> None:
    """Negative control: demand that the engines suffice for changes nothing."""
    calm = autoscaler.calm()
    count = demand.at_target(calm)
    demand.hold(count)
    seen = eventually(
        lambda: any((one.now or 0) * 2 > one.target for one in autoscaler.readings()),
        within_seconds=READ_SECONDS,
        poll_seconds=0.5,
    )
    other = eventually(lambda: autoscaler.replicas() != calm, within_seconds=STILL_SECONDS)
    readings = autoscaler.readings()
    told = [one.document() for one in readings]
    evidence.record("at_target", {"in_flight": count, "read": told, "changed": other})
    too_much = any(one.above for one in readings)
    assert too_much or not other, f"{calm} engines suffice for {told}, and others were wanted"
    # Of a metric that is no engine's share it is not known how many requests are at its target.
    if too_much or not (seen or not any(one.per_engine for one in readings)):
        raise HarnessError(f"{count} requests in flight were to be at the target: {told}")
