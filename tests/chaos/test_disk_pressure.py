"""A node's disk is filled up to a share, and its kubelet says what it lacks."""

from typing import Any

import pytest

from hotfire.chaos.plan import World
from hotfire.chaos.sightings.node_pressure import NodePressure
from hotfire.chaos.steps.disk_fill import DiskFill
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from tests.chaos.fake_agent import FakeAgent, scene, told
from tests.chaos.scenes import entry
from tests.fake_api import FakeApi

STEP = DiskFill(path="/var/lib/kubelet", free_percent=4)
NODE = Target(kind="node", name="n1", uid="u", node="n1")
ROOM = {"total_bytes": 1000, "free_bytes": 400}
SHORT = NodePressure(condition="DiskPressure", present=True)
ENOUGH = NodePressure(condition="DiskPressure", present=False)
TAINT = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}


def node(status: str, *taints: dict[str, str]) -> dict[str, Any]:
    conditions = [{"type": "DiskPressure", "status": status}] if status else []
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"taints": list(taints)}, "status": {"conditions": conditions},
    }  # fmt: skip


def test_a_share_of_the_file_system_is_left(world: World) -> None:
    found = told(world, {"disk.room": ROOM, "ping": {}})
    STEP.rehearse(found, NODE)

    STEP.fire(found, entry(NODE))

    assert isinstance(found.agent, FakeAgent)
    order = {"path": "/var/lib/kubelet", "free_bytes": 40, "at_most_bytes": 1e12}
    assert found.agent.fired == [("n1", "disk.fill", order)]


def test_a_disk_that_is_full_already_cannot_be_filled(world: World) -> None:
    full = told(world, {"disk.room": {**ROOM, "free_bytes": 40}})

    with pytest.raises(HarnessError, match="is full already: 40 bytes are free"):
        STEP.require_whole(full, NODE)


@pytest.mark.parametrize(
    ("found", "short", "enough"),
    [
        (node("True", TAINT), "yes", "no"),
        (node("True"), "no", "no"),
        (node("False", TAINT), "no", "no"),
        (node("False"), "no", "yes"),
        (node("Unknown"), "unknown", "unknown"),
        (node(""), "unknown", "unknown"),
    ],
    ids=["short", "untainted", "tainted", "enough", "unheard", "untold"],
)
def test_condition_and_taint_must_agree(
    world: World, api: FakeApi, found: dict[str, Any], short: str, enough: str
) -> None:
    api.put(found)

    assert SHORT.look(scene(world, NODE)).seen == short
    assert ENOUGH.look(scene(world, NODE)).seen == enough


def test_a_node_that_is_gone_tells_nothing(world: World) -> None:
    assert SHORT.look(scene(world, NODE)).seen == "unknown"
