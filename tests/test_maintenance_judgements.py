"""What the checks of boots, of maintenance and of drift conclude from what they saw."""

from dataclasses import replace
from typing import Any

import pytest

from fixtures.maintenance import Look, Shape, last_told
from fixtures.reboots import Resident, devices
from hotfire.chaos.steps.engine_arguments import said_again
from hotfire.cluster import Node, Pod
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from suites.cluster.test_maintenance_takes_one_node_and_returns_it_whole import (
    at_the_lowest,
    disturbance,
)

GPU = "nvidia.com/gpu"
AMOUNTS = {"cpu": "8", "memory": "64Gi", GPU: "8"}


def node(**changes: Any) -> Node:  # noqa: ANN401 - whatever field a case changes
    metadata = {"name": "n1", "uid": "u", "labels": {"rack": "a"}}
    status = {"capacity": AMOUNTS, "allocatable": AMOUNTS}
    return replace(Node.parse({"metadata": metadata, "status": status}), **changes)


def look(before: int, after: int, *, goes: bool = False) -> Look:
    return Look(at_ns=0, serving_before=before, serving_after=after, goes=goes)


def pod(uid: str, container: str, *, phase: str = "Running") -> Pod:
    ready = [{"type": "Ready", "status": "True"}]
    status = {"name": "engine", "containerID": f"containerd://{container}"}
    return Pod.parse(
        {
            "metadata": {"namespace": "team", "name": "engine-1", "uid": uid},
            "status": {"phase": phase, "conditions": ready, "containerStatuses": [status]},
        }
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"allocatable": AMOUNTS | {"memory": "63Gi"}}, []),
        ({"allocatable": AMOUNTS | {GPU: "7"}}, [f"offered {GPU}: 8 before, 7 now"]),
        ({"capacity": {}}, [f"devices {GPU}: 8 before, None now"]),
        (
            {"labels": {"zone": "b"}},
            ["labels rack: a before, None now", "labels zone: None before, b now"],
        ),
    ],
)
def test_node_is_compared_by_its_labels_and_devices(
    changes: dict[str, Any], said: list[str]
) -> None:
    assert Shape.of(node()).differences(Shape.of(node(**changes))) == said


def test_devices_are_what_bears_the_name_of_its_maker() -> None:
    assert devices(AMOUNTS) == {GPU: "8"}


def test_second_node_is_asked_for_while_the_first_ones_engines_are_away() -> None:
    first_gone = look(3, 3)
    looks = [look(4, 4, goes=True), look(4, 3), first_gone, look(3, 4, goes=True), look(4, 4)]

    assert at_the_lowest(looks, wanted=4) == [first_gone]


@pytest.mark.parametrize("looks", [[look(4, 4)], [look(4, 3), look(3, 4)]])
def test_engines_that_were_replaced_too_fast_show_nothing(looks: list[Look]) -> None:
    with pytest.raises(HarnessError, match="before a second node was asked for"):
        at_the_lowest(looks, wanted=4)


@pytest.mark.parametrize(
    ("detail", "overload", "after", "said"),
    [
        ("Connection reset by peer", None, {"n1 up1": "10:00"}, ""),
        ("Connection reset by peer", 0.5, {"n1 up1": "10:00"}, ""),
        ("Connection reset by peer", 0.95, {"n1 up1": "10:00"}, "waited for a CPU in 95%"),
        ("Network is unreachable", 0.5, {"n1 up1": "10:00"}, "we had no route"),
        ("Connection reset by peer", 0.5, {"n1 up1": "10:07"}, "came and went"),
        ("Connection reset by peer", 0.5, {}, "none of: n1 up1"),
    ],
)
def test_losses_are_charged_to_nobody_where_something_else_broke(
    detail: str, overload: float | None, after: dict[str, str], said: str
) -> None:
    row = Request(seq=0, sched_ns=0, detail=detail)

    found = disturbance([row], overload, {"n1 up1": "10:00"}, after)

    assert said in found
    assert bool(found) == bool(said)


def test_node_told_of_itself_by_the_latest_of_its_conditions() -> None:
    stamps = ["2026-11-30T10:00:04Z", "2026-11-30T10:00:08Z", None]
    conditions = [{"type": str(n), "lastHeartbeatTime": at} for n, at in enumerate(stamps)]

    assert last_told({"status": {"conditions": conditions}}) == "2026-11-30T10:00:08Z"
    assert last_told({"status": {}}) == ""


@pytest.mark.parametrize(
    ("now", "settled"),
    [
        ([pod("u", "former")], False),
        ([pod("u", "another")], True),
        ([pod("u", "former", phase="Failed")], True),
        ([pod("replacement", "another")], True),
        ([], True),
    ],
)
def test_pod_is_back_from_a_boot_by_other_containers(now: list[Pod], settled: bool) -> None:
    found = Resident(uid="u", containers=frozenset({"former"}))

    assert found.is_settled(now) is settled


@pytest.mark.parametrize(
    ("args", "edited"),
    [
        (["--model=a", "--port=1"], ["--model=a", "--port=1", "--port=1"]),
        (["serve", "a", "--port", "1"], ["serve", "a", "--port", "1", "--port", "1"]),
    ],
)
def test_last_option_is_said_twice(args: list[str], edited: list[str]) -> None:
    assert said_again(args) == edited


@pytest.mark.parametrize("args", [[], ["exec vllm serve a --port=1"]])
def test_arguments_without_an_option_are_left_alone(args: list[str]) -> None:
    with pytest.raises(HarnessError, match="no option that could be said twice"):
        said_again(args)
