"""Taints an engine's device, as whoever watches its health does, or all devices of its driver."""

from typing import ClassVar, Literal

from hotfire.agent.janitor import MADE
from hotfire.chaos.claimed import device_of_pod
from hotfire.chaos.making import MakingStep
from hotfire.chaos.plan import World
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError

KEY = "hotfire.dev/failing"


class DeviceTaint(MakingStep):
    """A rule beside what the driver tells, which the driver cannot take back."""

    word: Literal["device-taint"] = "device-taint"
    kind: ClassVar[str] = "DeviceTaintRule"
    namespaced: ClassVar[bool] = False
    effect: Literal["NoSchedule", "NoExecute"]
    """Keeps new pods off; the other one makes those go that have it, too."""
    of: Literal["device", "driver"] = "device"
    """The device that the engine holds, or every one of the same driver, wherever it is."""

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server admit it in a dry run; it must know such rules."""
        if not world.cluster.serves(self.kind, self.version(world)):
            versions = " or ".join(MADE[self.word][0])
            raise HarnessError(
                f"this cluster serves no {self.kind} of {versions}; switch on DRADeviceTaintRules"
            )
        return super().rehearse(world, target)

    def spec(self, world: World, target: Target) -> Document:
        """Return which devices, and the taint."""
        held = device_of_pod(world, target.namespace, target.name)
        one = {"pool": held.pool, "device": held.device} if self.of == "device" else {}
        taint = {"key": KEY, "value": "by-hotfire", "effect": self.effect}
        return {"deviceSelector": {"driver": held.driver, **one}, "taint": taint}
