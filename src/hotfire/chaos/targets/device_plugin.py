"""The device plugin of one engine's node."""

from typing import Final, Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines
from hotfire.chaos.plan import Plan, World, engines, names, other_pod_target, resolve_again
from hotfire.cluster import Document, Pod
from hotfire.errors import HarnessError

_SOCKETS: Final = "/var/lib/kubelet/device-plugins"
"""Where every device plugin makes its socket."""


class DevicePlugin(TargetWord):
    """The pod that offers the engines' accelerators on the first engine's node."""

    word: Literal["device-plugin"] = "device-plugin"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that pod as the target; every engine is a bystander."""
        ready = [pod for pod in engines(world.cluster, world.profile) if pod.serving]
        if not ready:
            raise HarnessError(f"{experiment} needs a Ready engine pod, whose node has a plugin")
        plugin = _plugin(world, ready[0].node)
        return plan_beside_engines(world, experiment, [other_pod_target(plugin)])

    def spared(self, world: World, plan: Plan) -> str:
        """Return that running engines keep their devices without it."""
        del world
        return f"running pods keep their devices: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that it is there and Ready."""
        for target in plan.targets:
            resolve_again(world.cluster, target)


def _plugin(world: World, node: str) -> Pod:
    """Return the node's device plugin for the accelerator's resource.

    Raises:
        HarnessError: none is to be seen, or several may be it.
    """
    listed = world.cluster.list("Pod", None, field_selector=f"spec.nodeName={node}")
    found = [one for one in listed if _offers_devices(one)]
    vendor = world.profile.accelerator.resource.partition(".")[0]
    mine = [one for one in found if vendor in one["metadata"]["name"]] or found
    if len(mine) != 1:
        seen = ", ".join(one["metadata"]["name"] for one in mine) or "none"
        raise HarnessError(f"one device plugin was expected in pods of {node}, found {seen}")
    return Pod.parse(mine[0])


def _offers_devices(pod: Document) -> bool:
    """Return whether a pod has the directory in which device plugins make their sockets."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    paths = [(one.get("hostPath") or {}).get("path", "") for one in volumes]
    return any(path.rstrip("/") == _SOCKETS for path in paths)
