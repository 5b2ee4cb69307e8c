"""The operator's resource that makes engines of several pods each, as the target file names it."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, JsonValue

from hotfire.section import STRICT

FieldPath = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]
"""Where something stands below ``spec``, with a dot between the steps."""

# Two pods that do nothing, on an accelerator each.
_SMALL: Final[dict[str, Any]] = {
    "instances": 1,
    "replicas": 2,
    "gpusPerPod": 1,
    "tensorParallelSize": 2,
    "template": {
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [
                {
                    "name": "engine",
                    "image": "docker.io/library/python:3.11-slim",
                    "command": ["sleep", "infinity"],
                    "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}},
                }
            ],
        }
    },
}


class Conditions(BaseModel):
    """Types of the conditions by which it tells how it is; None: it has no such one."""

    model_config = STRICT

    ready: str = "Ready"
    """True while every instance has all its pods Ready."""
    progressing: str | None = "Progressing"
    """True while it is on its way there."""
    degraded: str | None = "Degraded"
    """True while something that was there is missing."""


class EngineGroups(BaseModel):
    """A resource each of whose instances is a group of pods; those of the reference stack."""

    model_config = STRICT

    api_version: str = "serving.hotfire.dev/v1alpha1"
    """Group and version of the resource."""
    kind: str = "ModelServing"
    """Its kind."""
    spec: dict[str, JsonValue] = _SMALL
    """Spec of a small one, of which checks make some in a namespace of their own: one instance that
    gets ready within seconds, on few accelerators."""
    instances: FieldPath = "instances"
    """Field that says how many instances there are to be."""
    group_size: FieldPath = "replicas"
    """Field that says how many pods each has."""
    gpus_per_pod: FieldPath = "gpusPerPod"
    """Field that says how many accelerators each pod has."""
    tensor_parallel_size: FieldPath = "tensorParallelSize"
    """Field that says on how many accelerators each instance computes at once."""
    template: FieldPath = "template"
    """Field with the template of its pods."""
    instance_label: str = "serving.hotfire.dev/instance"
    """Label of a pod that names the instance it belongs to, within the namespace."""
    conditions: Conditions = Conditions()
    """How it tells of itself."""
    pods_return_alone: bool = True
    """Whether a pod that is deleted comes back while the operator is away, as declared."""
