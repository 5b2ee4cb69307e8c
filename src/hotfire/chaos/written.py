"""What is written ahead of a fault: frozen, and refused where a field is unknown."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["pod", "device", "link", "node", "workload", "route", "service", "load"]


class Written(BaseModel):
    """A frozen part of what is written ahead."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(Written):
    """One thing that will be hit, by uid; fields that its kind has no use for are empty."""

    kind: Kind = "pod"
    name: str
    """Of the pod, node, workload, route or service; of the pod on whose account a link or device is
    hit."""
    namespace: str = ""
    uid: str = ""
    node: str = ""
    container_id: str = ""
    restarts: int = 0
    """Of the pod's engine container, so far."""
    link: str = ""
    resource: str = ""
    """Of a workload, route or service, as the API's paths name its kind: deployments, statefulsets.

    Of a workload that is scaled by its ``scale`` subresource with that: deployments/scale."""
    part: int = 0
    """Which of several faults that overlap hits it, from 0."""
    version: str = ""
    """API version of a workload or route that was read; empty: the usual one of its kind."""
    object_kind: str = ""
    """Kind of a workload or route that was read; empty: the usual one of its resource."""

    def __str__(self) -> str:
        """Return it as a person would name it."""
        whole = f"{self.namespace}/{self.name}" if self.namespace else self.name
        match self.kind:
            case "link":
                return f"link {self.link} of node {self.node}, under pod {whole} (uid {self.uid})"
            case "device":
                return f"accelerator of pod {whole} (uid {self.uid}) on node {self.node}"
            case _:
                return f"{self.kind} {whole}" + (f" (uid {self.uid})" if self.uid else "")
