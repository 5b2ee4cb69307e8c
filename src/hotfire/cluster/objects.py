"""Small typed views of the Kubernetes objects we decide upon."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

_OVER = ("Succeeded", "Failed")
"""Phases of pods that will not run again; nobody may have removed them yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a pod, as its status tells."""

    name: str
    container_id: str
    """Without the ``containerd://`` prefix; empty while there is none."""
    state: str
    """``waiting``, ``running`` or ``terminated``; empty while unknown."""
    waiting_reason: str
    ready: bool
    restarts: int
    last_terminated_reason: str
    last_exit_code: int | None
    image_id: str = ""
    """What the image's name came to on this node, by digest; empty while unknown."""

    @classmethod
    def parse(cls, status: Mapping[str, Any]) -> Self:
        state = status.get("state") or {}
        last = (status.get("lastState") or {}).get("terminated") or {}
        return cls(
            name=status["name"],
            container_id=str(status.get("containerID") or "").rpartition("//")[2],
            state=next(iter(state), ""),
            waiting_reason=(state.get("waiting") or {}).get("reason", ""),
            ready=bool(status.get("ready")),
            restarts=int(status.get("restartCount", 0)),
            last_terminated_reason=last.get("reason", ""),
            last_exit_code=last.get("exitCode"),
            image_id=str(status.get("imageID") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod."""

    namespace: str
    name: str
    uid: str
    node: str
    phase: str
    ready: bool
    deleting: bool
    ip: str
    restarts: int
    labels: Mapping[str, str]
    containers: tuple[Container, ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        metadata, status = document["metadata"], document.get("status") or {}
        containers = tuple(map(Container.parse, status.get("containerStatuses") or ()))
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            node=(document.get("spec") or {}).get("nodeName") or "",
            phase=status.get("phase", ""),
            ready=_condition(status, "Ready"),
            deleting=bool(metadata.get("deletionTimestamp")),
            ip=status.get("podIP") or "",
            restarts=sum(container.restarts for container in containers),
            labels=metadata.get("labels") or {},
            containers=containers,
        )

    @property
    def serving(self) -> bool:
        """Whether it is Ready and there to stay: neither on its way out nor over."""
        return self.ready and not self.deleting and not self.over

    @property
    def over(self) -> bool:
        """Whether it has ended for good."""
        return self.phase in _OVER

    def container(self, name: str) -> Container | None:
        """Return the named container's status; None before the kubelet reported it."""
        return next((one for one in self.containers if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server answered to something it may well refuse."""

    status: int
    message: str = ""
    """Why it was refused, in the server's words; empty where it was not."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """The object as the server would store it, defaults filled in; empty where refused."""

    @property
    def accepted(self) -> bool:
        return self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """One taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node; quantities stay the strings Kubernetes gives."""

    name: str
    uid: str
    ready: bool
    unschedulable: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    taints: tuple[Taint, ...]
    allocatable: Mapping[str, str]
    capacity: Mapping[str, str]
    kubelet_version: str
    kernel: str
    internal_ip: str

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        metadata, status = document["metadata"], document.get("status") or {}
        spec = document.get("spec") or {}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            ready=_condition(status, "Ready"),
            unschedulable=bool(spec.get("unschedulable")),
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            taints=tuple(
                Taint(key=taint["key"], value=taint.get("value", ""), effect=taint["effect"])
                for taint in spec.get("taints") or ()
            ),
            allocatable=status.get("allocatable") or {},
            capacity=status.get("capacity") or {},
            kubelet_version=(status.get("nodeInfo") or {}).get("kubeletVersion", ""),
            kernel=(status.get("nodeInfo") or {}).get("kernelVersion", ""),
            internal_ip=_internal_ip(status),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAddress:
    """One address behind a Service, as its EndpointSlices tell."""

    address: str
    ready: bool
    pod_name: str
    pod_uid: str
    node: str


def serving_endpoints(slices: Iterable[Mapping[str, Any]]) -> tuple[EndpointAddress, ...]:
    """Return every endpoint of these EndpointSlices; a missing ``ready`` means ready."""
    return tuple(
        EndpointAddress(
            address=address,
            ready=(endpoint.get("conditions") or {}).get("ready", True) is not False,
            pod_name=_pod(endpoint).get("name", ""),
            pod_uid=_pod(endpoint).get("uid", ""),
            node=endpoint.get("nodeName") or "",
        )
        for one in slices
        for endpoint in one.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    )


def _pod(endpoint: Mapping[str, Any]) -> Mapping[str, str]:
    target: Mapping[str, str] = endpoint.get("targetRef") or {}
    return target if target.get("kind") == "Pod" else {}


def _condition(status: Mapping[str, Any], kind: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _internal_ip(status: Mapping[str, Any]) -> str:
    addresses = status.get("addresses") or ()
    return next((str(one["address"]) for one in addresses if one["type"] == "InternalIP"), "")
