"""Pods that are no engines: the gateway's, device plugins; and what their loss looks like."""

from typing import Any

import pytest

from hotfire.chaos.blast import resolve
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings.device_plugin_back import DevicePluginBack
from hotfire.chaos.sightings.devices_offered import DevicesOffered
from hotfire.chaos.sightings.devices_withdrawn import DevicesWithdrawn
from hotfire.chaos.sightings.pod_remade import PodRemade
from hotfire.chaos.steps.gpu_health import GpuHealth
from hotfire.chaos.targets.device_plugin import DevicePlugin
from hotfire.chaos.targets.gateway_pods import GatewayPods
from hotfire.errors import HarnessError
from tests.chaos.platform import KILL, NAMESPACE, Platform, engine_pod
from tests.chaos.scenes import scene, unnoted
from tests.chaos.scripted_agent import asking
from tests.fake_api import Document, FakeApi

INGRESS = "ingress"
SOCKETS = "/var/lib/kubelet/device-plugins"


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Every case needs the engines to be there."""


def pod(api: FakeApi, name: str, *, namespace: str = INGRESS, **spec: Any) -> Document:  # noqa: ANN401
    """Store a pod that is no engine, of one owner."""
    found = engine_pod(name, node="n1")
    owner = {"kind": "ReplicaSet", "name": "proxy", "uid": "owner-1", "controller": True}
    found["metadata"] |= {"namespace": namespace, "labels": {}, "ownerReferences": [owner]}
    found["spec"] |= spec
    return api.put(found)


def gateway(api: FakeApi, *names: str, **spec: object) -> None:
    """Store a Service with the gateway's address, and the pods behind it."""
    place = {"name": "proxy", "namespace": INGRESS}
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": spec})
    pods = [pod(api, name)["metadata"] for name in names]
    rows = [
        {
            "addresses": ["10.1.0.1"],
            "targetRef": {"kind": "Pod", "name": m["name"], "uid": m["uid"]},
        }
        for m in pods
    ]
    labels = {"kubernetes.io/service-name": "proxy"}
    document = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "endpoints": rows}
    api.put({**document, "metadata": place | {"labels": labels}})


def two_proxies(world: World, api: FakeApi) -> Plan:
    gateway(api, "proxy-1", "proxy-2", clusterIP="10.0.0.1")
    return GatewayPods().resolve(world, "FLT-GTW-001")


def test_gateway_pods_are_found_by_the_gateways_address(world: World, api: FakeApi) -> None:
    plan = two_proxies(world, api)

    assert [str(one).partition(" (")[0] for one in plan.targets] == ["pod ingress/proxy-1"]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]


@pytest.mark.parametrize("spec", [{"clusterIPs": ["10.0.0.1"]}, {"externalIPs": ["10.0.0.1"]}])
def test_every_address_of_a_service_counts(world: World, api: FakeApi, spec: Document) -> None:
    gateway(api, "proxy-1", "proxy-2", **spec)

    assert GatewayPods().resolve(world, "FLT-GTW-001").targets


def test_a_gateway_of_one_pod_is_refused(world: World, api: FakeApi) -> None:
    gateway(api, "proxy-1", clusterIP="10.0.0.1")

    with pytest.raises(HarnessError, match="needs 2 Ready pods of the gateway, there are 1"):
        GatewayPods().resolve(world, "FLT-GTW-001")


def test_a_gateway_elsewhere_is_refused(world: World, api: FakeApi) -> None:
    gateway(api, "proxy-1", "proxy-2", clusterIP="10.0.0.9")

    with pytest.raises(HarnessError, match=r"address 10\.0\.0\.1: it lies elsewhere"):
        GatewayPods().resolve(world, "FLT-GTW-001")


def test_nothing_is_fired_once_the_other_proxy_is_gone(world: World, api: FakeApi) -> None:
    plan = two_proxies(world, api)
    api.remove(("v1", "pods", INGRESS, "proxy-2"))

    with pytest.raises(HarnessError, match="0 Ready pods of the gateway would be left"):
        GatewayPods().look_again(world, plan)


def test_a_pod_is_remade_when_its_owner_made_another(world: World, api: FakeApi) -> None:
    before = scene(world, plan := two_proxies(world, api), word := PodRemade())
    there = word.look(before)
    api.remove(("v1", "pods", INGRESS, plan.targets[0].name))
    gone = word.look(before)
    pod(api, "proxy-3")

    assert (there.seen, gone.seen, word.look(before).seen) == ("no", "no", "yes")


def test_a_new_pod_of_somebody_else_remakes_nothing(world: World, api: FakeApi) -> None:
    before = scene(world, plan := two_proxies(world, api), PodRemade())
    api.remove(("v1", "pods", INGRESS, plan.targets[0].name))
    pod(api, "other")["metadata"]["ownerReferences"][0]["uid"] = "owner-2"

    assert PodRemade().look(before).seen == "no"


def test_a_remade_pod_is_back_when_it_is_ready(world: World, api: FakeApi) -> None:
    word = PodRemade(ready=True)
    before = scene(world, plan := two_proxies(world, api), word)
    api.remove(("v1", "pods", INGRESS, plan.targets[0].name))
    condition = pod(api, "proxy-3")["status"]["conditions"][0]
    condition["status"] = "False"
    starting = word.look(before)
    condition["status"] = "True"

    assert (starting.seen, word.look(before).seen) == ("no", "yes")


def test_a_pod_that_nobody_owns_is_not_killed(world: World, api: FakeApi) -> None:
    plan = two_proxies(world, api)
    del api.objects["v1", "pods", INGRESS, "proxy-1"]["metadata"]["ownerReferences"]

    with pytest.raises(HarnessError, match=r"nobody owns pod .* nobody replaces it"):
        PodRemade().note(world, plan)


def test_what_nobody_noted_is_unknown(world: World, api: FakeApi) -> None:
    found = unnoted(scene(world, two_proxies(world, api)))
    api.remove(("v1", "pods", INGRESS, "proxy-1"))

    with pytest.raises(HarnessError, match="nobody noted the owners"):
        PodRemade().look(found)


def plugin(api: FakeApi, name: str) -> None:
    volume = {"name": "sockets", "hostPath": {"path": f"{SOCKETS}/"}}
    pod(api, name, namespace="gpu-operator", volumes=[volume])


def test_a_device_plugin_is_known_by_the_directory_of_its_socket(
    world: World, api: FakeApi
) -> None:
    pod(api, "nvidia-dcgm-exporter", namespace="gpu-operator")
    plugin(api, "nvidia-device-plugin-x")
    plugin(api, "rdma-shared-dp-y")

    plan = DevicePlugin().resolve(world, "FLT-GPU-003")

    assert [one.name for one in plan.targets] == ["nvidia-device-plugin-x"]


def test_a_node_without_a_device_plugin_is_refused(world: World) -> None:
    with pytest.raises(HarnessError, match=r"one device plugin was expected .* found none"):
        DevicePlugin().resolve(world, "FLT-GPU-003")


def test_two_possible_device_plugins_are_refused(world: World, api: FakeApi) -> None:
    plugin(api, "nvidia-a")
    plugin(api, "nvidia-b")

    with pytest.raises(HarnessError, match="found nvidia-a, nvidia-b"):
        DevicePlugin().resolve(world, "FLT-GPU-003")


def offer(api: FakeApi, count: int) -> None:
    status = {"allocatable": {"nvidia.com/gpu": str(count)}}
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    api.put({**document, "status": status})


@pytest.mark.parametrize(
    ("now", "withdrawn", "offered"), [(2, "no", "yes"), (1, "yes", "no"), (0, "yes", "no")]
)
def test_devices_are_counted_against_what_was_offered_before(
    world: World, api: FakeApi, now: int, withdrawn: str, offered: str
) -> None:
    offer(api, 2)
    before = scene(world, resolve(world, KILL), DevicesWithdrawn())
    offer(api, now)

    assert DevicesWithdrawn().look(before).seen == withdrawn
    assert DevicesOffered().look(before).seen == offered


def test_devices_of_a_node_that_is_gone_are_unknown(world: World, api: FakeApi) -> None:
    offer(api, 2)
    before = scene(world, resolve(world, KILL), DevicesOffered())
    api.remove(("v1", "nodes", "", "n1"))

    with pytest.raises(HarnessError, match="there is no node n1 any more"):
        DevicesOffered().look(before)


def test_a_share_of_a_gpu_is_named_by_the_gpu(world: World) -> None:
    grant = {
        "namespace": NAMESPACE, "pod": "engine-1", "container": "vllm",
        "resource": "nvidia.com/gpu", "device_ids": ["GPU-a::1"],
    }  # fmt: skip
    target = resolve(world, KILL).targets[0]

    order = GpuHealth(xid=13).order(asking(world, pod_resources=[grant]), target)

    assert order == {"uuid": "GPU-a", "xid": 13}


def test_a_plugin_is_back_with_its_pod_and_its_devices(world: World, api: FakeApi) -> None:
    offer(api, 2)
    plugin(api, "nvidia-1")
    word = DevicePluginBack()
    before = scene(world, DevicePlugin().resolve(world, "FLT-GPU-003"), word)
    # Its node has not noticed yet: the count alone would say that all is well.
    api.remove(("v1", "pods", "gpu-operator", "nvidia-1"))
    away = word.look(before)
    plugin(api, "nvidia-2")
    offer(api, 0)
    empty = word.look(before)
    offer(api, 2)

    assert (away.seen, empty.seen, word.look(before).seen) == ("no", "no", "yes")
