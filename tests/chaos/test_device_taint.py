"""Devices are tainted by a rule: who has to leave one, and who has to wait for one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hotfire.chaos.claimed import device_of_pod
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.device_given_up import DeviceGivenUp
from hotfire.chaos.sightings.engine_waits_for_device import EngineWaitsForDevice
from hotfire.chaos.steps.device_taint import DeviceTaint
from hotfire.chaos.targets.engine_pods import EnginePods
from hotfire.errors import HarnessError
from tests.chaos.platform import NAMESPACE, Platform
from tests.chaos.scenes import entry, scene
from tests.fake_api import KINDS, Document, FakeApi

API = "resource.k8s.io/v1"
GIVEN_UP, WAITS = DeviceGivenUp(), EngineWaitsForDevice()
LEAVE = DeviceTaint(effect="NoExecute")
WAIT = DeviceTaint(effect="NoSchedule", of="driver")
UNSCHEDULABLE = {"reason": "Unschedulable", "message": "0/3 nodes are available", "status": "False"}


def claim(name: str, device: str) -> Document:
    result = {"driver": "gpu.example.com", "pool": "n1", "device": device, "request": "one"}
    return {
        "apiVersion": API, "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "status": {"allocation": {"devices": {"results": [result]}}},
    }  # fmt: skip


def holding(api: FakeApi, pod: Document, device: str) -> None:
    """Let a pod hold a device, as one that asked for it by number."""
    name = f"{pod['metadata']['name']}-gpus"
    api.put(claim(name, device))
    pod["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": name}


@pytest.fixture(autouse=True)
def _devices(api: FakeApi, platform: Platform) -> None:
    for number in (1, 2):
        holding(api, platform.pod(f"engine-{number}"), f"gpu-{number}")


@pytest.fixture
def plan(world: World) -> Plan:
    return EnginePods().resolve(world, "FLT-GPU-004")


@pytest.fixture
def replaced(world: World, plan: Plan, platform: Platform) -> Callable[[str], Scene]:
    """The fault once another engine is there, with this device; with none it is on no node."""

    def found(device: str) -> Scene:
        found = scene(world, plan, GIVEN_UP)
        platform.api.remove(("v1", "pods", NAMESPACE, "engine-1"))
        pod = platform.add_engine()
        if device:
            holding(platform.api, pod, device)
        else:
            pod["spec"]["nodeName"] = ""
            pod["status"]["conditions"].append({"type": "PodScheduled", **UNSCHEDULABLE})
        return found

    return found


def test_the_device_that_the_engine_holds_is_tainted(
    world: World, plan: Plan, api: FakeApi
) -> None:
    [target] = plan.targets

    LEAVE.fire(world, entry(target))

    [rule] = [one for key, one in api.objects.items() if key[1] == "devicetaintrules"]
    selected = {"driver": "gpu.example.com", "pool": "n1", "device": "gpu-1"}
    assert rule["spec"]["deviceSelector"] == selected
    assert rule["spec"]["taint"]["effect"] == "NoExecute"
    assert rule["metadata"]["name"] == "hotfire-engine-1"


@pytest.mark.parametrize("version", ["resource.k8s.io/v1", "resource.k8s.io/v1beta2"])
def test_the_rule_is_of_the_newest_version_that_is_served(
    version: str, world: World, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, version, KINDS[version] | {"DeviceTaintRule": False})

    assert LEAVE.former(world, plan.targets[0]) == {"version": version}
    assert LEAVE.document(world, plan.targets[0], "u-1")["apiVersion"] == version


def test_all_devices_of_its_driver_are_tainted(world: World, plan: Plan) -> None:
    spec = WAIT.spec(world, plan.targets[0])

    assert spec["deviceSelector"] == {"driver": "gpu.example.com"}
    assert spec["taint"]["effect"] == "NoSchedule"


def test_its_end_takes_the_taint_away(world: World, plan: Plan, api: FakeApi) -> None:
    written = entry(plan.targets[0])
    LEAVE.fire(world, written)
    with pytest.raises(HarnessError, match="is there already"):
        LEAVE.require_whole(world, written.target)

    LEAVE.end(world, written, within_seconds=5)

    assert not api.names("devicetaintrules")
    LEAVE.require_whole(world, written.target)


def test_the_janitor_may_delete_that_rule_and_no_other(plan: Plan) -> None:
    assert LEAVE.rules(plan.targets[0]) == [
        {
            "apiGroups": ["resource.k8s.io"], "resources": ["devicetaintrules"],
            "resourceNames": ["hotfire-engine-1"], "verbs": ["get", "delete"],
        }
    ]  # fmt: skip


@pytest.mark.parametrize("named", ["spec", "template"])
def test_a_claim_of_its_own_tells_the_device(
    world: World, api: FakeApi, platform: Platform, named: str
) -> None:
    pod = platform.pod("engine-1")
    del pod["status"]["extendedResourceClaimStatus"]
    api.put(claim("mine", "gpu-7"))
    mine = [{"name": "gpu", "resourceClaimName": "mine"}]
    if named == "spec":
        pod["spec"]["resourceClaims"] = mine
    else:
        pod["status"]["resourceClaimStatuses"] = mine

    assert device_of_pod(world, NAMESPACE, "engine-1").device == "gpu-7"


def test_an_engine_without_a_claim_has_no_device_to_taint(
    world: World, plan: Plan, platform: Platform
) -> None:
    del platform.pod("engine-1")["status"]["extendedResourceClaimStatus"]

    with pytest.raises(HarnessError, match="holds no device by claim"):
        GIVEN_UP.note(world, plan)
    with pytest.raises(HarnessError, match="is gone"):
        device_of_pod(world, NAMESPACE, "engine-9")


@pytest.mark.parametrize(
    ("device", "seen"), [("gpu-3", "yes"), ("gpu-1", "no"), ("", "yes")],
    ids=["elsewhere", "the-same", "waits"],
)  # fmt: skip
def test_it_is_given_up_when_the_next_engine_has_another(
    replaced: Callable[[str], Scene], device: str, seen: str
) -> None:
    assert GIVEN_UP.look(replaced(device)).seen == seen


def test_an_engine_that_stays_has_given_up_nothing(world: World, plan: Plan) -> None:
    assert GIVEN_UP.look(scene(world, plan, GIVEN_UP)).seen == "no"
    assert WAITS.look(scene(world, plan)).seen == "no"


def test_where_nobody_noted_or_tells_the_device_it_is_unknown(
    replaced: Callable[[str], Scene], api: FakeApi
) -> None:
    found = replaced("gpu-3")
    nobody = found.before.model_copy(update={"noted": {}})
    with pytest.raises(HarnessError, match="nobody noted which device"):
        GIVEN_UP.look(replace(found, before=nobody))

    api.remove((API, "resourceclaims", NAMESPACE, "engine-3-gpus"))
    with pytest.raises(HarnessError, match="holds no device by claim"):
        GIVEN_UP.look(found)


@pytest.mark.parametrize(("device", "seen"), [("", "yes"), ("gpu-3", "no")])
def test_an_engine_waits_when_the_scheduler_says_so(
    replaced: Callable[[str], Scene], device: str, seen: str
) -> None:
    assert WAITS.look(replaced(device)).seen == seen


def test_before_the_scheduler_has_looked_it_is_unknown(
    replaced: Callable[[str], Scene], platform: Platform
) -> None:
    found = replaced("")
    platform.pod("engine-3")["status"]["conditions"].pop()

    assert WAITS.look(found).seen == "unknown"
