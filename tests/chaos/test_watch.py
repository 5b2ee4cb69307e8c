"""While a fault lasts, harm to others is noticed, and told apart from what was there before it."""

from pathlib import Path
from typing import Any

import pytest

from hotfire.chaos.blast import resolve
from hotfire.chaos.plan import World
from hotfire.chaos.watch import GATE, Watch
from hotfire.rundir import RunDirectory
from hotfire.waiting import until
from tests.chaos.platform import KILL, NAMESPACE, Platform, run_directory
from tests.fake_api import FakeApi


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return run_directory(tmp_path)


def watching(world: World, run: RunDirectory) -> Watch:
    plan = resolve(world, KILL)
    return Watch(world.cluster, world.profile, run, plan)


def told(run: RunDirectory, what: str) -> list[dict[str, Any]]:
    return [one.data for one in run.events() if one.what == what]


def await_told(run: RunDirectory, what: str, count: int) -> list[dict[str, Any]]:
    until(lambda: len(told(run, what)) >= count, within_seconds=10, what=f"{count} x {what}")
    return told(run, what)


def test_each_restart_of_a_bystander_is_told_once(
    world: World, platform: Platform, run: RunDirectory
) -> None:
    container = platform.pod("engine-2")["status"]["containerStatuses"][0]
    with watching(world, run):
        container["restartCount"] = 1
        await_told(run, "beyond-radius", 1)
        container["restartCount"] = 2
        await_told(run, "beyond-radius", 2)

    assert told(run, "beyond-radius") == [{"pod": "engine-2", "harm": "restarted"}] * 2


def test_restarts_of_a_sidecar_before_the_plan_are_no_harm(
    world: World, platform: Platform, run: RunDirectory
) -> None:
    rows = platform.pod("engine-2")["status"]["containerStatuses"]
    rows.append({"name": "proxy", "restartCount": 4, "ready": True, "state": {"running": {}}})

    with watching(world, run):
        await_told(run, "ready-endpoints", 1)

    assert told(run, "beyond-radius") == []


def test_a_bystander_that_failed_is_gone(
    world: World, platform: Platform, run: RunDirectory
) -> None:
    with watching(world, run):
        platform.pod("engine-2")["status"]["phase"] = "Failed"
        found = await_told(run, "beyond-radius", 1)

    assert found == [{"pod": "engine-2", "harm": "gone"}]


def test_engines_behind_no_service_are_counted_by_their_readiness(
    world: World, platform: Platform, api: FakeApi, run: RunDirectory
) -> None:
    del api.objects["discovery.k8s.io/v1", "endpointslices", NAMESPACE, "engine-abc"]
    with watching(world, run):
        await_told(run, "ready-endpoints", 1)
        platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"
        await_told(run, "ready-endpoints", 2)

    assert told(run, "ready-endpoints") == [{"ready": 2}, {"ready": 1}]


def test_each_start_of_an_engine_is_told_and_those_that_ran_before_are_not(
    world: World, platform: Platform, run: RunDirectory
) -> None:
    container = platform.pod("engine-1")["status"]["containerStatuses"][0]
    with watching(world, run):
        await_told(run, "ready-endpoints", 1)
        container["containerID"] = "containerd://started-anew"
        await_told(run, "engine-started", 1)

    assert told(run, "engine-started") == [{"pod": "engine-1"}]


def test_the_canarys_share_is_told_where_a_gate_is_to_move_it(
    world: World, platform: Platform, api: FakeApi, run: RunDirectory
) -> None:
    labels, route = {"app": "canary"}, ("gateway.networking.k8s.io/v1", "HTTPRoute")
    template = {"metadata": {"labels": labels}}
    put(api, "apps/v1", "Deployment", {"template": template})
    put(api, "v1", "Service", {"selector": labels})
    put(api, *route, {"rules": [{"backendRefs": [backend("engine", 95), backend("canary", 5)]}]})
    claiming = world.profile.model_copy(update={"claims": frozenset({GATE})})

    with Watch(world.cluster, claiming, run, resolve(world, KILL)), watching(world, run):
        await_told(run, "canary-share", 1)
        put(api, *route, {"rules": [{"backendRefs": [backend("engine", 1), backend("canary", 0)]}]})
        await_told(run, "canary-share", 2)

    assert told(run, "canary-share") == [{"share": 0.05}, {"share": 0.0}]


def put(api: FakeApi, version: str, kind: str, spec: dict[str, Any]) -> None:
    metadata = {"name": "canary", "namespace": NAMESPACE}
    api.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def backend(name: str, weight: int) -> dict[str, Any]:
    return {"name": name, "weight": weight}
