"""Device taints act and clear.

A driver taints a device that is about to fail. Where nothing follows from that, the next engine is
put on it all the same, and the one that is there computes on until it dies. The devices of this
check are its own: entries that no driver stands behind, on a node of the target.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import pytest

from fixtures.scratch import Scratch
from fixtures.stand_ins import IDLE
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Estate
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "GPU-010",
    Level.MUST,
    __doc__,
    source="https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5055-dra-device-taints-and-tolerations",
    features={"device-taints"},
)

API = "resource.k8s.io/v1"
SOUND, FAILING, BY_NUMBER = "sound", "failing", "by-number"
ACTS_SECONDS = 15.0


class Devices:
    """Three devices that only pods of this case can ask for."""

    def __init__(self, cluster: Cluster, scratch: Scratch, node: str, *, by_number: bool) -> None:
        self.node = node
        self.resource = f"{scratch.namespace}.hotfire.dev/device" if by_number else ""
        """Name by which they are asked for by number; empty where the target offers none so."""
        self._cluster = cluster
        self._scratch = scratch
        self._driver = f"{scratch.namespace}.hotfire.dev"

    def documents(self, taints: Mapping[str, str]) -> list[Document]:
        """Return the class of these devices, and what offers them."""
        selector = {"cel": {"expression": f'device.driver == "{self._driver}"'}}
        named = {"extendedResourceName": self.resource} if self.resource else {}
        pool = {"name": self._driver, "generation": 1, "resourceSliceCount": 1}
        offer = {
            "driver": self._driver,
            "nodeName": self.node,
            "pool": pool,
            "devices": self._devices(taints),
        }
        return [
            self._object("DeviceClass", {"selectors": [selector], **named}),
            self._object("ResourceSlice", offer),
        ]

    def taint(self, taints: Mapping[str, str]) -> None:
        """Taint devices with an effect each, and no others."""
        body = {"spec": {"devices": self._devices(taints)}}
        self._cluster.patch("ResourceSlice", None, self._driver, body, api_version=API)

    def tainted(self) -> dict[str, list[str]]:
        """Return the effects on each device, as the API server tells them."""
        found = self._cluster.get("ResourceSlice", None, self._driver, api_version=API) or {}
        return {
            one["name"]: [taint["effect"] for taint in one.get("taints") or ()]
            for one in found["spec"]["devices"]
        }

    def claim(self, device: str) -> None:
        """Start a pod that claims this very device; it bears its name."""
        expression = f'device.attributes["{self._driver}"].which == "{device}"'
        exactly = {
            "deviceClassName": self._driver,
            "selectors": [{"cel": {"expression": expression}}],
        }
        claim = {
            "apiVersion": API,
            "kind": "ResourceClaim",
            "metadata": {"name": device},
            "spec": {"devices": {"requests": [{"name": "one", "exactly": exactly}]}},
        }
        self._cluster.apply([claim], namespace=self._scratch.namespace)
        claims = {"claims": [{"name": "one"}], "limits": {"memory": "64Mi"}}
        self._scratch.pod(
            device,
            argv=IDLE,
            spec_besides={"resourceClaims": [{"name": "one", "resourceClaimName": device}]},
            container_besides={"resources": claims},
        )

    def ask_by_number(self) -> None:
        """Start a pod that asks for one of them by number, while only one is left."""
        self._scratch.pod(BY_NUMBER, argv=IDLE, limits_besides={self.resource: "1"})

    def _devices(self, taints: Mapping[str, str]) -> list[Document]:
        return [self._device(name, taints.get(name)) for name in (SOUND, FAILING, BY_NUMBER)]

    def _device(self, name: str, effect: str | None) -> Document:
        device: Document = {"name": name, "attributes": {"which": {"string": name}}}
        if effect:
            device["taints"] = [{"key": "hotfire.dev/failing", "effect": effect}]
        return device

    def _object(self, kind: str, spec: Document) -> Document:
        metadata = {"name": self._driver}
        return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture
def devices(
    profile: TargetProfile, cluster: Cluster, estate: Estate, scratch: Scratch
) -> Iterator[Devices]:
    """Devices of ours on one node, the failing one tainted ``NoSchedule`` from the beginning."""
    if not cluster.serves("ResourceSlice", API):
        raise HarnessError(f"device taints are claimed, and this cluster serves no {API}")
    nodes = cluster.nodes(profile.accelerator.node_selector)
    node = next((one.name for one in nodes if one.ready and not one.unschedulable), None)
    if node is None:
        raise HarnessError(f"no node with {profile.accelerator.node_selector} takes pods")
    classes = cluster.list("DeviceClass", api_version=API)
    by_number = any(one["spec"].get("extendedResourceName") for one in classes)
    found = Devices(cluster, scratch, node, by_number=by_number)
    made = []
    try:
        for document in found.documents({FAILING: "NoSchedule"}):
            made.append(estate.create(document))
        yield found
    finally:
        scratch.clear()
        for one in reversed(made):
            estate.remove(one)


def node_of(scratch: Scratch, pod: str) -> str:
    return scratch.get(pod).node


def staying(scratch: Scratch, names: list[str]) -> list[str]:
    """Return which pods are there and not on their way out."""
    documents = {name: scratch.document(name) for name in names}
    return [
        name
        for name, one in documents.items()
        if one and not one["metadata"].get("deletionTimestamp")
    ]


def test_no_schedule_keeps_new_pods_off_until_it_is_gone(
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    devices: Devices,
    evidence: Evidence,
) -> None:
    for name in (SOUND, FAILING):
        devices.claim(name)
    decisions = scratch.decisions()
    evidence.record("taints", devices.tainted())
    evidence.record("decisions", {name: asdict(one) for name, one in decisions.items()})
    assert not decisions[FAILING].node, f"a tainted device was given to a pod: {decisions}"
    # Negative control: the same claim of a device without a taint is served.
    if not decisions[SOUND].node:
        raise HarnessError(f"no device is given out, tainted or not: {decisions[SOUND].refusal}")

    devices.taint({})
    served = of_target(
        lambda: node_of(scratch, FAILING),
        within_seconds=profile.waits.unschedulable_seconds,
        what="a pod on the device whose taint is gone",
        excused_seconds=cluster.silent_seconds,
    )
    evidence.record("bound_when_the_taint_was_gone", served.seen)
    assert served, str(served)


def test_no_execute_evicts_who_holds_the_device_and_nobody_else(
    cluster: Cluster, scratch: Scratch, devices: Devices, evidence: Evidence
) -> None:
    devices.taint({})
    for name in (SOUND, FAILING):
        devices.claim(name)
    at_risk = [FAILING]
    if devices.resource:
        scratch.decisions()
        devices.ask_by_number()
        at_risk.append(BY_NUMBER)
    decisions = scratch.decisions()
    if waiting := [name for name, one in decisions.items() if not one.node]:
        raise HarnessError(f"without any taint {waiting} found no device: {decisions}")

    devices.taint(dict.fromkeys(at_risk, "NoExecute"))
    gone = of_target(
        lambda: not staying(scratch, at_risk),
        within_seconds=ACTS_SECONDS,
        what=f"the holders of {' and '.join(at_risk)} evicted",
        excused_seconds=cluster.silent_seconds,
    )
    left = staying(scratch, [SOUND, *at_risk])
    evidence.record("asked_for_by_number", devices.resource or "the target offers nothing so")
    evidence.record("taints", devices.tainted())
    evidence.record("left", left)
    assert gone, f"{gone.what} within {ACTS_SECONDS:g} s; {left} are still there"
    assert SOUND in left, "the pod on a device without a taint was evicted as well"
