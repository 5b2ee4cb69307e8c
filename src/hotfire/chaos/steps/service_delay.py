"""Makes whatever is asked of a Service late, by a proxy on the way to its pods."""

import time
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import Field

from hotfire.agent.janitor import made_name
from hotfire.chaos.making import MakingStep
from hotfire.chaos.plan import World
from hotfire.chaos.services import RESOURCE, pod_ports, pods_behind, there
from hotfire.chaos.step import Fired
from hotfire.chaos.steps.change import Change
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.engine import late_proxy
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import until

_LABEL: Final = "hotfire.dev/stands-before"


class ServiceDelay(MakingStep):
    """A pod that passes on what comes so much later, and a Service that selects it alone.

    What clients send on connections that they opened before goes on past it.
    """

    word: Literal["service-delay"] = "service-delay"
    kind: ClassVar[str] = "Pod"
    namespaced: ClassVar[bool] = True
    # Whoever was on the way through it as it ends has his answer.
    grace_seconds: ClassVar[int] = 5
    seconds: float = Field(gt=0, le=5)
    """How long everything that a client sends is held back; answers are not."""

    def namespace(self, world: World) -> str | None:
        """Return the platform's: a Service selects pods of its own namespace only."""
        return world.profile.namespace

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept both in a dry run."""
        _selection(world, target).rehearse(world, target)
        return super().rehearse(world, target)

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return what the Service selects, and where the pod will lie."""
        selected = _selection(world, target).former(world, target)
        return {**super().former(world, target), **selected}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that nothing is left of an earlier one, of the Service's selector either."""
        super().require_whole(world, target)
        Change().require_whole(world, target)

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return that both may be put back."""
        names = {"resources": [RESOURCE], "resourceNames": [target.name]}
        return [*super().rules(target), {"apiGroups": [""], "verbs": ["get", "patch"], **names}]

    def document(self, world: World, target: Target, entry_id: str) -> Document:
        """Return the pod, with the label by which the Service selects it."""
        found = super().document(world, target, entry_id)
        return found | {"metadata": found["metadata"] | {"labels": {_LABEL: target.name}}}

    def spec(self, world: World, target: Target) -> Document:
        """Return a pod that passes on to those which the Service leads to now."""
        service = there(world, target)
        pods = pods_behind(world, service)
        one = world.cluster.get("Pod", pods[0].namespace, pods[0].name)
        if one is None:
            raise HarnessError(f"{pods[0].name} behind {target} has just gone")
        ports = pod_ports(service, one)
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": self.grace_seconds,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": list(world.profile.agent.tolerations),
            "containers": [self._container(world, [pod.ip for pod in pods], ports)],
        }

    def _container(self, world: World, addresses: list[str], ports: dict[int, str]) -> Document:
        program = Path(late_proxy.__file__).read_text(encoding="utf-8")
        words = [f"{self.seconds:g}", ",".join(addresses), ",".join(map(str, ports))]
        named = [
            {"containerPort": number, **({"name": name} if name else {})}
            for number, name in ports.items()
        ]
        return {
            "name": "proxy",
            "image": world.profile.images.python,
            "command": ["python3", "-c", program, *words],
            "ports": named,
            "readinessProbe": {"tcpSocket": {"port": min(ports)}, "periodSeconds": 1},
            "resources": {
                "requests": {"cpu": "20m", "memory": "32Mi"},
                "limits": {"memory": "128Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Make the pod; once it is Ready, have the Service select it."""
        selection = _selection(world, entry.target)
        super().fire(world, entry)
        name = made_name(entry.target.name)
        try:
            until(
                lambda: (pod := world.cluster.pod(entry.target.namespace, name)) and pod.serving,
                within_seconds=world.profile.waits.pod_ready_seconds,
                what=f"{name} Ready",
                excused_seconds=world.cluster.silent_seconds,
            )
        except HarnessError as error:
            raise FaultNotInjected(f"nothing is late before {entry.target}: {error}") from error
        at_ns = time.time_ns()
        selection.fire(world, entry)
        return Fired("the API server took the new selector", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Have the Service select its own pods again, and delete the one that stands before them.

        In this order: nobody finds a Service without a pod.
        """
        selected = Change().end(world, entry, within_seconds=within_seconds)
        return f"{selected}; {super().end(world, entry, within_seconds=within_seconds)}"


def _selection(world: World, target: Target) -> Change:
    """Return what has a Service select the proxy's pod, and none by the labels that it has now."""
    selector = there(world, target)["spec"].get("selector") or {}
    return Change.model_validate({"value": dict.fromkeys(selector) | {_LABEL: target.name}})
