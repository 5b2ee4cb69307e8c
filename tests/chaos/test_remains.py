"""At its end a run leaves nothing, or says what and how to remove it."""

from dataclasses import replace
from pathlib import Path

import pytest

from hotfire.chaos import agent_pods, janitor, undo
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.remains import Sweep
from hotfire.chaos.undo import UndoJournal
from hotfire.cluster import OWNER_LABEL, RUN_LABEL, Estate
from hotfire.errors import HarnessError
from tests.chaos.platform import NAMESPACE, SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import FakeApi

RUN = "r"
CLASS = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "engines"},
    "value": 1,
}


@pytest.fixture
def sweep(world: World, tmp_path: Path) -> Sweep:
    """The end of a run that has the system namespace, and has made nothing else so far."""
    estate = Estate(world.cluster, SYSTEM, run_id=RUN, journal=tmp_path / "made.jsonl")
    estate.open()
    return Sweep(
        world=world,
        journal=UndoJournal(tmp_path / "undo.jsonl", world.cluster, SYSTEM),
        belongings=estate,
        run_id=RUN,
        remedy="hotfire heal",
    )


def test_what_the_run_made_is_removed_and_nothing_else(sweep: Sweep, api: FakeApi) -> None:
    sweep.belongings.namespace(NAMESPACE)
    sweep.belongings.create(CLASS)
    marks = {RUN_LABEL: RUN, OWNER_LABEL: SYSTEM}
    api.put(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "alike", "labels": marks}}
    )

    sweep.carry_out()

    # The same labels, yet no record that this run made it.
    assert api.names("namespaces") == ["alike", "kube-system"]
    assert api.names("priorityclasss") == []


def test_what_was_made_anew_by_another_under_the_same_name_stays(
    sweep: Sweep, api: FakeApi
) -> None:
    sweep.belongings.namespace(NAMESPACE)
    api.remove(("v1", "namespaces", "", NAMESPACE))
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    sweep.carry_out()

    assert NAMESPACE in api.names("namespaces")


def test_a_namespace_of_the_run_that_is_ending_is_waited_for(
    sweep: Sweep, world: World, api: FakeApi
) -> None:
    waits = world.profile.waits.model_copy(update={"pod_gone_seconds": 0.2})
    world = replace(world, profile=world.profile.model_copy(update={"waits": waits}))
    marks = {RUN_LABEL: RUN, OWNER_LABEL: SYSTEM}
    metadata = {"name": "slow", "labels": marks, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    with pytest.raises(HarnessError, match="namespace slow, which is ending"):
        replace(sweep, world=world).carry_out()


def test_stack_that_is_to_be_kept_stays(sweep: Sweep, api: FakeApi) -> None:
    sweep.belongings.namespace(NAMESPACE)
    sweep.belongings.namespace("hotfire-scratch-1")
    sweep.belongings.create(CLASS)

    replace(sweep, kept=[NAMESPACE]).carry_out()

    # Its record lies in the system namespace.
    assert api.names("namespaces") == [NAMESPACE, SYSTEM, "kube-system"]
    assert api.names("priorityclasss") == ["engines"]


def test_open_fault_is_healed_first(sweep: Sweep, api: FakeApi, platform: Platform) -> None:
    sweep.journal.arm(entry())
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    sweep.carry_out()

    assert sweep.journal.open() == []
    assert api.names("namespaces") == [NAMESPACE, "kube-system"]


def test_a_janitor_goes_though_no_agents_were_there(
    sweep: Sweep, world: World, api: FakeApi
) -> None:
    sweep.belongings.create(CLASS)
    code = agent_pods.code(world.profile, run_id=RUN)
    world.cluster.apply([code, *janitor.manifests(world.profile, run_id=RUN)])
    # Nor does it take them with it: somebody may have made it beforehand.
    api.refuse["DELETE namespaces"] = 403

    with pytest.raises(HarnessError, match=SYSTEM):
        sweep.carry_out()

    assert api.names("deployments") == api.names("serviceaccounts") == api.names("roles") == []
    assert agent_pods.NAME not in api.names("configmaps")


def test_what_cannot_be_removed_is_told_with_its_remedy_and_hinders_nothing_else(
    sweep: Sweep, world: World, api: FakeApi
) -> None:
    waits = world.profile.waits.model_copy(update={"pod_gone_seconds": 0.2})
    world = replace(world, profile=world.profile.model_copy(update={"waits": waits}))
    sweep.belongings.namespace(NAMESPACE)
    sweep.belongings.create(CLASS)
    api.refuse["DELETE namespaces"] = 403

    with pytest.raises(HarnessError) as told:
        replace(sweep, world=world).carry_out()

    assert NAMESPACE in str(told.value)
    assert str(told.value).startswith("`hotfire heal` removes what may be left: ")
    assert api.names("priorityclasss") == []


def test_undo_copies_stay_while_a_fault_is_not_undone(sweep: Sweep, api: FakeApi) -> None:
    lost = entry().model_copy(update={"undo": undo.Undo(step={"word": "nobodys"})})
    sweep.journal.arm(lost)

    with pytest.raises(HarnessError, match="hotfire heal"):
        sweep.carry_out()

    assert SYSTEM in api.names("namespaces")
    assert [one.id for one in sweep.journal.open()] == [lost.id]


def test_fault_whose_engines_went_with_the_stack_needs_no_healing(sweep: Sweep) -> None:
    sweep.journal.arm(entry())

    sweep.carry_out()

    assert sweep.journal.open() == []


def test_another_run_that_has_the_cluster_by_now_is_left_in_peace(
    sweep: Sweep, world: World, api: FakeApi
) -> None:
    sweep.belongings.namespace(NAMESPACE)
    after = RunLease(world.cluster, SYSTEM, run_id="b", lease_seconds=60, on_lost=lambda: None)

    with after, pytest.raises(HarnessError, match="run b") as told:
        sweep.carry_out()

    assert NAMESPACE in str(told.value)
    assert NAMESPACE in api.names("namespaces")


def test_who_may_not_list_records_has_made_none(sweep: Sweep, api: FakeApi) -> None:
    api.refuse["GET namespaces"] = 403

    sweep.carry_out()


def test_nobody_being_able_to_look_is_told_with_the_remedy(sweep: Sweep, api: FakeApi) -> None:
    api.refuse["GET namespaces"] = 503

    with pytest.raises(HarnessError, match="`hotfire heal` removes what may be left"):
        sweep.carry_out()
