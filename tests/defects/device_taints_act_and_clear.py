"""An admission policy lets no taint evict anybody: ``NoExecute`` is stored as ``NoSchedule``."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.world import World

API = "resource.k8s.io/v1"
EXPRESSION = """
[0, 1, 2].filter(index, index < size(object.spec.devices)
    && has(object.spec.devices[index].taints)
    && object.spec.devices[index].taints[0].effect == "NoExecute")
.map(index, JSONPatch{
    op: "replace",
    path: "/spec/devices/" + string(index) + "/taints/0/effect",
    value: "NoSchedule"
})
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    try:
        with world.admission_changes("resource.k8s.io", "resourceslices", EXPRESSION):
            _await_stored(world, "NoSchedule")
            yield
    finally:
        _await_stored(world, "NoExecute")


def _await_stored(world: World, effect: str) -> None:
    """Wait until a taint that should evict is stored with this effect."""
    taint = {"key": "example.com/probe", "effect": "NoExecute"}
    document = {
        "apiVersion": API,
        "kind": "ResourceSlice",
        "metadata": {"name": "probe.hotfire.test"},
        "spec": {
            "driver": "probe.hotfire.test",
            "nodeName": "n1",
            "pool": {"name": "probe", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "probe", "taints": [taint]}],
        },
    }

    def stored() -> bool:
        answer = world.cluster.would_admit(document, namespace=world.profile.namespace)
        assert answer.accepted, answer.message
        found: str = answer.document["spec"]["devices"][0]["taints"][0]["effect"]
        return found == effect

    until(stored, within_seconds=60, what=f"a taint stored as {effect}")
