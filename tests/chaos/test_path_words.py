"""What faults of pods' paths, of DNS and of a daemon are known by."""

from collections.abc import Callable
from typing import Any

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, SightingWord
from hotfire.chaos.sightings.connections_were_reset import ConnectionsWereReset
from hotfire.chaos.sightings.dns_lookup import DnsLookup
from hotfire.chaos.sightings.pod_cut_off import PodCutOff
from hotfire.chaos.sightings.pod_reached import PodReached
from hotfire.chaos.sightings.service_ended import ServiceEnded
from hotfire.chaos.steps.connections_reset import ConnectionsReset
from hotfire.chaos.steps.dns_block import DnsBlock
from hotfire.chaos.steps.pod_partition import PodPartition
from hotfire.chaos.steps.service_kill import ServiceKill
from hotfire.chaos.targets.engine_pods import EnginePods
from hotfire.chaos.written import Target
from hotfire.errors import ClusterError, HarnessError
from tests.chaos.fake_agent import LINK, Answers, scene, told
from tests.chaos.platform import Platform
from tests.fake_api import FakeApi

OPEN, CLOSED = {"reason": ""}, {"reason": "timed out"}
SILENT, KNOWN = {"outcome": "no answer"}, {"outcome": "no such name"}
ENDED = ServiceEnded(service="bird")


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Every case needs the engines to be there."""


@pytest.fixture(autouse=True)
def _dns(api: FakeApi) -> None:
    labels = {"k8s-app": "kube-dns"}
    metadata = {"name": "kube-dns", "namespace": "kube-system", "labels": labels}
    spec = {"clusterIP": "10.96.0.10"}
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def met(*packets: int) -> dict[str, Any]:
    return {"drops": sum(packets), "of_each_rule": list(packets)}


def engine_scene(world: World, answers: Answers) -> Scene:
    """Return one engine that is hit, another on another node, and what agents answer."""
    fired = {"id": "u-1", "op": "net.block", "state": "injected"}
    found = told(world, {"list": [fired]} | answers, ("n1", "n2"))
    plan = EnginePods().resolve(found, "FLT-NET-007")
    whole = scene(found, *plan.targets)
    return Scene(world=found, plan=plan, entries=whole.entries, before=whole.before)


@pytest.mark.parametrize(
    ("word", "answers", "seen"),
    [
        (PodCutOff(), {"net.connect": CLOSED, "net.drops": met(3, 1)}, "yes"),
        (PodCutOff(), {"net.connect": OPEN, "net.drops": met(3, 1)}, "no"),
        (PodCutOff(), {"net.connect": CLOSED, "net.drops": met(0, 0)}, "no"),
        (PodReached(), {"net.connect": OPEN}, "yes"),
        (PodReached(), {"net.connect": CLOSED}, "no"),
        (ConnectionsWereReset(), {"net.drops": met(0, 2)}, "yes"),
        (ConnectionsWereReset(), {"net.drops": met(0, 0)}, "no"),
        (ConnectionsWereReset(), {"list": []}, "no"),
        (PodCutOff(), {"net.connect": CLOSED, "list": []}, "no"),
    ],
)
def test_the_effect_on_an_engine_is_seen_and_nothing_else(
    world: World, word: SightingWord, answers: Answers, seen: str
) -> None:
    assert word.look(engine_scene(world, answers)).seen == seen


def test_a_pod_that_is_not_ready_was_not_cut_off_behind_its_readiness(
    world: World, platform: Platform
) -> None:
    found = engine_scene(world, {"net.connect": CLOSED, "net.drops": met(3, 1)})
    platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"

    assert PodCutOff().look(found).seen == "no"


def test_an_engine_is_asked_for_from_another_node(world: World, platform: Platform) -> None:
    platform.pod("engine-2")["spec"]["nodeName"] = "n1"

    with pytest.raises(HarnessError, match="no survivor runs on another node"):
        PodReached().look(engine_scene(world, {"net.connect": OPEN}))


def test_a_pod_that_nobody_reached_before_is_not_fired_at(world: World) -> None:
    found = engine_scene(world, {"net.connect": CLOSED})

    with pytest.raises(HarnessError, match="timed out; nothing was fired"):
        PodCutOff().note(found.world, found.plan)


@pytest.mark.parametrize("word", [PodCutOff(), PodReached(), ConnectionsWereReset()], ids=str)
def test_an_agent_that_does_not_answer_about_an_engine_is_unknown(
    world: World, word: SightingWord
) -> None:
    with pytest.raises(ClusterError):
        word.look(engine_scene(world, {}))


@pytest.mark.parametrize(
    ("answered", "outcome", "seen"),
    [(False, SILENT, "yes"), (False, KNOWN, "no"), (True, KNOWN, "yes"), (True, SILENT, "no")],
)
def test_any_answer_of_dns_is_one(
    world: World, answered: bool, outcome: dict[str, str], seen: str
) -> None:
    found = scene(told(world, {"net.lookup": outcome}), LINK)

    assert DnsLookup(answered=answered).look(found).seen == seen


def test_dns_that_is_silent_already_is_not_fired_at(world: World) -> None:
    plan = Plan(experiment="FLT-NET-008", targets=(LINK,))

    with pytest.raises(HarnessError, match=r"does not answer .* already; nothing was fired"):
        DnsLookup(answered=False).note(told(world, {"net.lookup": SILENT}), plan)


def test_a_cluster_without_a_dns_service_is_told(world: World, api: FakeApi) -> None:
    del api.objects["v1", "services", "kube-system", "kube-dns"]

    with pytest.raises(HarnessError, match="no Service k8s-app=kube-dns"):
        DnsLookup(answered=True).look(scene(told(world, {"net.lookup": KNOWN}), LINK))


@pytest.mark.parametrize(("pid", "seen"), [(8, "yes"), (None, "yes"), (7, "no")])
def test_a_service_ended_when_its_process_is_another_or_none(
    world: World, pid: int | None, seen: str
) -> None:
    found = scene(told(world, {"service.state": {"pid": pid}}), LINK, noted={"u": 7})

    assert ENDED.look(found).seen == seen


def test_a_service_whose_process_nobody_noted_is_unknown(world: World) -> None:
    with pytest.raises(HarnessError, match="nobody noted a process"):
        ENDED.look(scene(told(world, {"service.state": {"pid": 8}}), LINK, noted={"u": None}))


def test_a_service_that_does_not_run_is_refused_before_anything_is_armed(world: World) -> None:
    found = told(world, {"service.state": {"pid": None}})

    with pytest.raises(HarnessError, match="no service bird runs on n1"):
        ServiceKill(service="bird").rehearse(found, LINK)


Order = Callable[[World, Target], dict[str, object]]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (PodPartition().order, {"between": [], "and": ["10.244.1.5"], "spare_node": True}),
        (ConnectionsReset().order, {"address": "10.244.1.5", "port": 8000}),
        (DnsBlock().order, {"between": [], "and": ["10.96.0.10"], "port": 53}),
        (ServiceKill(service="bird").order, {"service": "bird", "signal": "KILL"}),
    ],
)
def test_an_agent_is_told_addresses_as_they_are_when_it_fires(
    world: World, platform: Platform, order: Order, expected: dict[str, object]
) -> None:
    platform.pod("engine-1")["status"]["podIP"] = "10.244.1.5"
    target = EnginePods().resolve(world, "FLT-NET-007").targets[0]

    assert order(world, target) == expected
