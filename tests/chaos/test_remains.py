"""At its end a run leaves nothing, or says what and how to remove it."""

from dataclasses import replace
from pathlib import Path

import pytest

from hotfire.chaos import remains, undo
from hotfire.chaos.blast import World
from hotfire.chaos.undo import UndoJournal
from hotfire.cluster import RUN_LABEL
from hotfire.errors import HarnessError
from tests.chaos.platform import NAMESPACE, SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import FakeApi

RUN = "r"
MINE, OTHERS = {RUN_LABEL: RUN}, {RUN_LABEL: "another"}
REMEDY = "hotfire heal"


@pytest.fixture
def journal(world: World, tmp_path: Path) -> UndoJournal:
    return UndoJournal(tmp_path / "undo.jsonl", world.cluster, SYSTEM)


def put(api: FakeApi, kind: str, name: str, labels: dict[str, str], version: str = "v1") -> None:
    api.put({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}})


def test_what_bears_the_run_s_label_is_removed_and_nothing_else(
    world: World, api: FakeApi, journal: UndoJournal
) -> None:
    put(api, "Namespace", NAMESPACE, MINE)
    put(api, "Namespace", "theirs", OTHERS)
    put(api, "PriorityClass", "engines", MINE, "scheduling.k8s.io/v1")

    remains.sweep(world, journal, RUN, remedy=REMEDY)

    assert api.names("namespaces") == ["kube-system", "theirs"]
    assert api.names("prioritys") + api.names("priorityclasss") == []


def test_stack_that_is_to_be_kept_stays(world: World, api: FakeApi, journal: UndoJournal) -> None:
    put(api, "Namespace", NAMESPACE, MINE)
    put(api, "Namespace", "hotfire-scratch-1", MINE)
    put(api, "PriorityClass", "engines", MINE, "scheduling.k8s.io/v1")

    remains.sweep(world, journal, RUN, kept=[NAMESPACE], remedy=REMEDY)

    assert api.names("namespaces") == [NAMESPACE, "kube-system"]
    assert api.names("priorityclasss") == ["engines"]


def test_open_fault_is_healed_first(
    world: World, api: FakeApi, journal: UndoJournal, platform: Platform
) -> None:
    journal.arm(entry())
    put(api, "Namespace", NAMESPACE, OTHERS)
    put(api, "Namespace", SYSTEM, MINE)

    remains.sweep(world, journal, RUN, remedy=REMEDY)

    assert journal.open() == []
    assert api.names("namespaces") == [NAMESPACE, "kube-system"]


def test_what_cannot_be_removed_is_told_with_its_remedy_and_hinders_nothing_else(
    world: World, api: FakeApi, journal: UndoJournal
) -> None:
    waits = world.profile.waits.model_copy(update={"pod_gone_seconds": 0.2})
    world = replace(world, profile=world.profile.model_copy(update={"waits": waits}))
    put(api, "Namespace", NAMESPACE, MINE)
    put(api, "PriorityClass", "engines", MINE, "scheduling.k8s.io/v1")
    api.refuse["DELETE namespaces"] = 403

    with pytest.raises(HarnessError) as told:
        remains.sweep(world, journal, RUN, remedy=REMEDY)

    assert NAMESPACE in str(told.value)
    assert str(told.value).startswith("`hotfire heal` removes what may be left: ")
    assert api.names("priorityclasss") == []


def test_undo_copies_stay_while_a_fault_is_not_undone(
    world: World, api: FakeApi, journal: UndoJournal
) -> None:
    lost = entry().model_copy(update={"undo": undo.Undo(func="nobody's", args={})})
    journal.arm(lost)
    put(api, "Namespace", SYSTEM, MINE)

    with pytest.raises(HarnessError, match="hotfire heal"):
        remains.sweep(world, journal, RUN, remedy=REMEDY)

    assert SYSTEM in api.names("namespaces")
    assert [one.id for one in journal.open()] == [lost.id]


def test_fault_whose_engines_went_with_the_stack_needs_no_healing(
    world: World, api: FakeApi, journal: UndoJournal
) -> None:
    journal.arm(entry())

    remains.sweep(world, journal, RUN, remedy=REMEDY)

    assert journal.open() == []


def test_who_may_not_list_namespaces_has_made_none(
    world: World, api: FakeApi, journal: UndoJournal
) -> None:
    api.refuse["GET namespaces"] = 403

    remains.sweep(world, journal, RUN, remedy=REMEDY)


def test_nobody_being_able_to_look_is_told_with_the_remedy(
    world: World, api: FakeApi, journal: UndoJournal
) -> None:
    api.refuse["GET namespaces"] = 503

    with pytest.raises(HarnessError, match="`hotfire heal` removes what may be left"):
        remains.sweep(world, journal, RUN, remedy=REMEDY)
