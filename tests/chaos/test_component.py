"""A part of the platform is taken away and given back: that very object, and no other."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotfire.chaos import actions, janitor
from hotfire.chaos.armed import VARIABLE, Armed
from hotfire.chaos.before import Before
from hotfire.chaos.heal import heal
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.workload_away import WorkloadAway
from hotfire.chaos.sightings.workload_back import WorkloadBack
from hotfire.chaos.steps.scale import Scale
from hotfire.chaos.targets.component import Component
from hotfire.chaos.undo import Undo, UndoEntry, UndoJournal
from hotfire.cluster import Estate
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.experiment import Experiment
from hotfire.own_folders import project_root
from hotfire.profile import Component as Place
from hotfire.rundir import RunDirectory
from tests.chaos.platform import SYSTEM, Platform, run_directory
from tests.fake_api import Document, FakeApi

WORD, STEP = Component(role="gateway-control-plane"), Scale()
DOWN = project_root() / "experiments" / "gateway" / "gateway-control-plane-down.yaml"


@pytest.fixture
def controller(api: FakeApi, platform: Platform) -> Document:
    """The workload of the gateway's control plane; the engines are there, too."""
    return api.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "controller", "namespace": "gateway", "generation": 1},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "controller"}},
                "template": {"metadata": {"labels": {"app": "controller"}}},
            },
            "status": {"replicas": 2, "readyReplicas": 2, "observedGeneration": 1},
        }
    )


@pytest.fixture
def world(world: World, controller: Document) -> World:
    place = Place(namespace="gateway", name="controller")
    update = {"components": {"gateway-control-plane": place}}
    profile = world.profile.model_copy(update=update)
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


@pytest.fixture
def plan(world: World) -> Plan:
    return WORD.resolve(world, "FLT-GTW-002")


def entry_of(world: World, plan: Plan) -> UndoEntry:
    target = plan.targets[0]
    undo = Undo(step=STEP.model_dump(mode="json"), former=STEP.former(world, target))
    return UndoEntry(
        id="u-1", at=datetime.now(UTC), run_id="r", cluster_uid="c", fault="FLT-GTW-002",
        target=target, undo=undo, expires_at=datetime.now(UTC),
    )  # fmt: skip


def scene(world: World, plan: Plan) -> Scene:
    return Scene(world=world, plan=plan, entries=(entry_of(world, plan),), before=Before())


def test_every_ready_engine_is_a_bystander_of_the_control_plane(world: World, plan: Plan) -> None:
    assert [str(one).split(" (")[0] for one in plan.targets] == ["workload gateway/controller"]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]
    assert "every engine" in WORD.spared(world, plan)


def test_a_role_without_its_place_is_told_with_the_field(world: World) -> None:
    with pytest.raises(HarnessError, match=r"set components\.operator"):
        Component(role="operator").resolve(world, "FLT-CTL-005")


def test_it_is_scaled_to_nothing_and_back_to_what_it_was(
    world: World, plan: Plan, controller: Document
) -> None:
    entry = entry_of(world, plan)
    STEP.rehearse(world, entry.target)
    assert controller_now(world)["spec"]["replicas"] == 2

    STEP.fire(world, entry)
    assert controller_now(world)["spec"]["replicas"] == 0

    STEP.end(world, entry, within_seconds=1)
    assert controller_now(world)["spec"]["replicas"] == 2


def controller_now(world: World) -> Document:
    found = world.cluster.get("Deployment", "gateway", "controller", api_version="apps/v1")
    assert found is not None
    return found


def test_another_object_under_the_name_is_neither_scaled_nor_given_back(
    world: World, plan: Plan, api: FakeApi, controller: Document
) -> None:
    entry = entry_of(world, plan)
    controller["metadata"]["uid"] = "another"

    with pytest.raises(FaultNotInjected, match="is gone"):
        STEP.fire(world, entry)
    with pytest.raises(HarnessError):
        WORD.look_again(world, plan)
    assert "is gone" in STEP.end(world, entry, within_seconds=1)
    assert controller_now(world)["spec"]["replicas"] == 2


def test_an_api_server_that_refuses_has_injected_nothing(
    world: World, plan: Plan, api: FakeApi
) -> None:
    entry = entry_of(world, plan)
    api.refuse["PATCH deployments"] = 403

    with pytest.raises(FaultNotInjected, match="scale_deployment"):
        STEP.fire(world, entry)


def test_one_that_is_away_already_cannot_be_taken_away(
    world: World, plan: Plan, controller: Document
) -> None:
    controller["spec"]["replicas"] = 0

    with pytest.raises(HarnessError, match="0 replicas already"):
        STEP.require_whole(world, plan.targets[0])


@pytest.mark.parametrize(
    ("replicas", "counted", "away"), [(2, 2, "no"), (0, 1, "no"), (0, 0, "yes")]
)
def test_it_is_away_when_no_replica_is_left(
    world: World, plan: Plan, controller: Document, replicas: int, counted: int, away: str
) -> None:
    controller["spec"]["replicas"], controller["status"]["replicas"] = replicas, counted

    assert WorkloadAway().look(scene(world, plan)).seen == away


def test_whether_it_is_away_is_unknown_once_it_was_deleted(
    world: World, plan: Plan, api: FakeApi
) -> None:
    found = scene(world, plan)
    del api.objects["apps/v1", "deployments", "gateway", "controller"]

    assert WorkloadAway().look(found).seen == "unknown"
    assert WorkloadBack().look(found).seen == "no"


@pytest.mark.parametrize(("ready", "observed", "back"), [(1, 1, "no"), (2, 0, "no"), (2, 1, "yes")])
def test_it_is_back_when_all_its_replicas_are_ready_again(
    world: World, plan: Plan, controller: Document, ready: int, observed: int, back: str
) -> None:
    found = scene(world, plan)
    controller["status"] |= {"readyReplicas": ready, "observedGeneration": observed}

    assert WorkloadBack().look(found).seen == back


def test_the_janitor_may_patch_that_object_and_nothing_else(world: World, plan: Plan) -> None:
    role, _ = janitor.bound(world.profile, STEP.rules(plan.targets[0]))

    assert role["rules"] == [
        {
            "apiGroups": ["apps"], "verbs": ["get", "patch"],
            "resources": ["deployments"], "resourceNames": ["controller"],
        }
    ]  # fmt: skip


def test_nothing_is_fired_without_a_live_janitor(world: World) -> None:
    with pytest.raises(HarnessError, match="no live janitor"):
        janitor.require_live(world)


def test_a_scaling_that_comes_after_its_undo_is_noticed_and_undone(
    world: World, plan: Plan, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that fires stood still between its last look and its write."""
    monkeypatch.setattr(janitor, "is_live", lambda *_: True)
    run = run_directory(tmp_path)
    name = run.info().run_id
    Estate(world.cluster, SYSTEM, run_id=name).open()
    with RunLease(world.cluster, SYSTEM, run_id=name, lease_seconds=60, on_lost=lambda: None):
        arm(world, plan, run, monkeypatch)
        api.before["PATCH deployments"] = lambda: heal(world.profile, now=True)
        with pytest.raises(HarnessError, match="lost the cluster"):
            actions.inject()
    late = controller_now(world)["spec"]["replicas"]

    actions.heal_fault()

    assert late == 0
    assert controller_now(world)["spec"]["replicas"] == 2


def arm(world: World, plan: Plan, run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the plan's undo ahead, and have this process be the one that fires it."""
    update = {"run_id": run.info().run_id, "cluster_uid": world.cluster.uid()}
    entry = entry_of(world, plan).model_copy(update=update)
    UndoJournal(run.undo_path, world.cluster, SYSTEM).arm(entry)
    told = Armed(
        fault=Experiment.load(DOWN).fault, plan=plan, entries=(entry,), profile=world.profile,
        run_directory=run.root, history=run.history_path("FLT-GTW-002"),
    )  # fmt: skip
    monkeypatch.setenv(VARIABLE, str(run.write_text("journals/a.json", told.model_dump_json())))
