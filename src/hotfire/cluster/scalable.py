"""Which kinds make engine pods, and where each is told how many: a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hotfire.cluster.calls import Document

SCALE: Final = "scale"
"""The subresource by which whoever knows nothing of a kind reads and writes its replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind that makes engine pods. Paths are dotted, and begin below ``spec``.

    In a path ``*`` stands for the part that a pod belongs to, and ``[name]`` for the entry of a
    list that bears it as its ``name``.
    """

    kind: str
    group: str
    resource: str
    replicas: str
    """Where the number of replicas is; nothing there stands for one. Empty: the kind is known by
    its ``scale`` subresource alone."""
    part_label: str = ""
    """Label of a pod that names the part it belongs to; empty: there is one part."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Labels of pods that it makes, too, and that its replicas do not count."""
    decided_by: str = ""
    """What stands there hands the number over to an autoscaler of its own."""
    template: str = ""
    """Template of its pods, a change of which replaces them one after the other; empty: none."""


KINDS: Final = (
    Kind(
        kind="Deployment", group="apps", resource="deployments",
        replicas="replicas", template="template",
    ),
    Kind(
        kind="StatefulSet", group="apps", resource="statefulsets",
        replicas="replicas", template="template",
    ),
    Kind(
        kind="LeaderWorkerSet", group="leaderworkerset.x-k8s.io", resource="leaderworkersets",
        replicas="replicas", template="leaderWorkerTemplate.workerTemplate",
    ),
    Kind(
        kind="InferenceService", group="serving.kserve.io", resource="inferenceservices",
        replicas="predictor.minReplicas",
    ),
    Kind(
        kind="LLMInferenceService", group="serving.kserve.io", resource="llminferenceservices",
        replicas="replicas", others={"llm-d.ai/role": "prefill"}, decided_by="scaling",
    ),
    Kind(
        kind="RayService", group="ray.io", resource="rayservices",
        replicas="rayClusterConfig.workerGroupSpecs.[groupName].replicas",
        part_label="ray.io/group", decided_by="rayClusterConfig.enableInTreeAutoscaling",
    ),
    Kind(
        kind="DynamoGraphDeployment", group="nvidia.com", resource="dynamographdeployments",
        replicas="services.*.replicas", part_label="nvidia.com/dynamo-component",
        decided_by="services.*.scalingAdapter.enabled",
    ),
    Kind(
        kind="VLLMRuntime", group="production-stack.vllm.ai", resource="vllmruntimes",
        replicas="deploymentConfig.replicas",
    ),
)  # fmt: skip
"""Source: the projects' own API types; LLMInferenceService as of v1alpha2, Dynamo of v1alpha1."""


def scaled_to(scale: Document) -> int:
    """Return the number of replicas that a ``scale`` subresource says: none is left out of it."""
    return int((scale.get("spec") or {}).get("replicas") or 0)


BETWEEN: Final = (
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("ray.io/v1", "RayCluster"),
    ("nvidia.com/v1alpha1", "DynamoComponentDeployment"),
    ("grove.io/v1alpha1", "PodClique"),
    ("grove.io/v1alpha1", "PodCliqueScalingGroup"),
    ("grove.io/v1alpha1", "PodCliqueSet"),
)
"""What may stand between a pod and one of them, or own pods in their place."""
