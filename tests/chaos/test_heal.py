"""Heal works from any machine, twice, and never says healed without having looked."""

import fcntl
import threading
from pathlib import Path

import pytest

from hotfire.chaos import undo
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.heal import heal, open_entries
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.steps.pod_kill import PodKill
from hotfire.chaos.tenure import JOURNAL
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.cluster import OWNER_LABEL, RUN_LABEL, Cluster, Estate
from hotfire.errors import HarnessError, ProfileError, RollbackFailed
from hotfire.profile import TargetProfile
from tests.chaos.platform import SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import Document, FakeApi

PRIORITY_CLASS = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 1,
}


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Every case needs the engines to be there."""


def test_a_copy_in_the_cluster_suffices(profile: TargetProfile, api: FakeApi) -> None:
    api.put(undo.config_map(entry(), SYSTEM))

    done = heal(profile, now=False)

    assert [(one.entry_id, one.verified) for one in done] == [("u-1", True)]
    assert open_entries(profile) == []


def test_the_run_directory_suffices_and_is_marked(
    profile: TargetProfile, cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "r" / "journals" / "undo.jsonl"
    undo.append(path, entry().model_copy(update={"cluster_uid": cluster.uid()}))

    done = heal(profile, now=False, runs=tmp_path / "runs")

    assert [one.verified for one in done] == [True]
    assert undo.still_open(undo.read(path).entries) == []


def test_entries_of_another_cluster_are_left_alone(profile: TargetProfile, tmp_path: Path) -> None:
    undo.append(tmp_path / "runs" / "r" / "journals" / "undo.jsonl", entry())

    assert open_entries(profile, runs=tmp_path / "runs") == []
    assert heal(profile, now=False, runs=tmp_path / "runs") == []


def test_healing_twice_does_nothing_the_second_time(profile: TargetProfile, api: FakeApi) -> None:
    api.put(undo.config_map(entry(), SYSTEM))
    heal(profile, now=False)

    assert heal(profile, now=False) == []


def test_what_is_still_broken_stays_open(
    profile: TargetProfile, api: FakeApi, platform: Platform
) -> None:
    short = profile.model_copy(
        update={"waits": profile.waits.model_copy(update={"pod_ready_seconds": 0.1})}
    )
    platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"
    api.put(undo.config_map(entry(), SYSTEM))

    done = heal(short, now=False)

    assert [one.verified for one in done] == [False]
    assert [one.id for one in open_entries(profile)] == ["u-1"]


def test_a_copy_that_names_anything_outside_the_closed_list_is_not_run(
    profile: TargetProfile, api: FakeApi
) -> None:
    evil = entry().model_copy(update={"undo": Undo(step={"word": "os.system"})})
    api.put(undo.config_map(evil, SYSTEM))

    done = heal(profile, now=False)

    assert not done[0].verified
    assert "no word 'os.system' among steps" in done[0].detail
    assert "use the version of run r" in done[0].detail


def stumble(*_: object) -> bool:
    raise KeyError("node")


def test_an_entry_that_makes_its_undo_stumble_keeps_no_other_from_being_undone(
    profile: TargetProfile, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = entry("u-2").model_copy(update={"undo": Undo(step={"word": "link-loss"})})
    monkeypatch.setattr(AgentClient, "is_ours", stumble)
    api.put(undo.config_map(entry(), SYSTEM))
    api.put(undo.config_map(nameless, SYSTEM))

    done = {one.entry_id: one for one in heal(profile, now=False)}

    assert done["u-1"].verified
    assert not done["u-2"].verified
    assert "KeyError" in done["u-2"].detail


def unreadable_copy(api: FakeApi) -> None:
    edited = undo.config_map(entry("u-9"), SYSTEM)
    edited["data"]["entry.json"] = '{"id": "u-9", "added_by_version_2": 1}'
    api.put(edited)


def test_a_copy_that_cannot_be_read_is_told_and_the_others_are_healed(
    profile: TargetProfile, api: FakeApi
) -> None:
    api.put(undo.config_map(entry(), SYSTEM))
    unreadable_copy(api)

    done = {one.entry_id: one.verified for one in heal(profile, now=False)}

    assert done == {"u-1": True, f"ConfigMap {SYSTEM}/hotfire-undo-u-9": False}


def test_a_damaged_line_of_any_run_is_told_and_the_others_are_healed(
    profile: TargetProfile, api: FakeApi, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "r" / "journals" / "undo.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("garbage\n")
    (tmp_path / "runs" / "latest").symlink_to("r")
    api.put(undo.config_map(entry(), SYSTEM))

    done = [(one.fault, one.verified) for one in heal(profile, now=False, runs=tmp_path / "runs")]

    assert done == [("FLT-POD-001", True), ("unknown", False)]


def test_a_target_with_a_record_nobody_can_read_counts_as_broken(
    profile: TargetProfile, api: FakeApi
) -> None:
    unreadable_copy(api)

    with pytest.raises(RollbackFailed, match="no undo entry that this version can read"):
        open_entries(profile)


def test_what_is_undone_counts_as_healed_though_no_disk_takes_the_word(
    profile: TargetProfile, cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "r" / "journals" / "undo.jsonl"
    undo.append(path, entry().model_copy(update={"cluster_uid": cluster.uid()}))

    with path.open("a") as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(undo, "_LOCK_SECONDS", 0.05)
        fcntl.flock(other, fcntl.LOCK_EX)
        [done] = heal(profile, now=False, runs=tmp_path / "runs")

    assert done.verified
    assert "not marked" in done.detail


def test_a_live_run_is_not_disturbed_unless_asked_to(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    api.put(undo.config_map(entry(), SYSTEM))
    held = RunLease(cluster, SYSTEM, run_id="r", lease_seconds=60, on_lost=lambda: None)

    with held:
        with pytest.raises(HarnessError, match=r"run r \(.* since .*\) is alive"):
            heal(profile, now=False)
        done = heal(profile, now=True)

    assert [one.verified for one in done] == [True]


def test_namespaces_of_runs_are_removed_once_all_is_healed(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    estate = Estate(cluster, SYSTEM, run_id="r")
    estate.open()
    estate.namespace("hotfire-stack")
    estate.create(PRIORITY_CLASS)

    done = heal(profile, now=False)

    assert {one.entry_id for one in done} == {"hotfire-stack", "urgent", SYSTEM}
    assert api.names("namespaces") == ["kube-system"]
    assert api.names("priorityclasss") == []


def test_a_namespace_that_only_bears_our_labels_is_never_removed(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    Estate(cluster, SYSTEM, run_id="r").open()
    labels = {RUN_LABEL: "r", OWNER_LABEL: SYSTEM}
    api.put(namespace("copied-with-its-labels", labels=labels))

    heal(profile, now=False)

    assert api.names("namespaces") == ["copied-with-its-labels", "kube-system"]


def test_a_namespace_that_took_the_name_of_ours_is_never_removed(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    estate = Estate(cluster, SYSTEM, run_id="r")
    estate.open()
    estate.namespace("hotfire-stack")
    api.remove(("v1", "namespaces", "", "hotfire-stack"))
    api.put(namespace("hotfire-stack", labels={OWNER_LABEL: SYSTEM}))

    heal(profile, now=False)

    assert api.names("namespaces") == ["hotfire-stack", "kube-system"]


def test_what_another_target_made_is_left_alone(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    other = Estate(cluster, "team-b-system", run_id="b")
    other.open()
    other.namespace("team-b-stack")

    assert heal(profile, now=True) == []

    assert api.names("namespaces") == ["kube-system", "team-b-stack", "team-b-system"]


def test_the_journals_of_runs_suffice_when_the_system_namespace_is_gone(
    profile: TargetProfile, cluster: Cluster, api: FakeApi, tmp_path: Path
) -> None:
    journal = tmp_path / "runs" / "r" / JOURNAL
    estate = Estate(cluster, SYSTEM, run_id="r", journal=journal)
    estate.open()
    estate.namespace("hotfire-stack")
    api.remove(("v1", "namespaces", "", SYSTEM))

    heal(profile, now=False, runs=tmp_path / "runs")

    assert api.names("namespaces") == ["kube-system"]


def test_nothing_is_touched_in_a_system_namespace_of_somebody_else(
    profile: TargetProfile, api: FakeApi
) -> None:
    api.put(namespace(SYSTEM, labels={"team": "payments"}))
    before = len(api.requests)

    assert heal(profile, now=True) == []

    api.put(undo.config_map(entry(), SYSTEM))
    with pytest.raises(ProfileError, match="system_namespace: hotfire-system exists and is not"):
        heal(profile, now=True)
    assert {one.partition(" ")[0] for one in api.requests[before:]} == {"GET"}


def test_no_run_can_begin_while_another_is_healed(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    Estate(cluster, SYSTEM, run_id="r").open()
    seen: list[str] = []

    def begin_another() -> None:
        beginning = threading.Thread(target=lambda: seen.append(refusal(cluster)))
        beginning.start()
        beginning.join(10)

    api.put(undo.config_map(entry(), SYSTEM))
    api.before["DELETE configmaps"] = begin_another

    heal(profile, now=False)

    assert "run heal-" in seen[0]


def test_a_fault_of_a_run_that_took_the_cluster_since_is_left_to_it(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    Estate(cluster, SYSTEM, run_id="r").open()
    api.put(undo.config_map(entry().model_copy(update={"token": 1 << 40}), SYSTEM))

    assert heal(profile, now=False) == []

    assert [one.id for one in undo.copies(cluster, SYSTEM).entries] == ["u-1"]


def refusal(cluster: Cluster) -> str:
    try:
        with RunLease(cluster, SYSTEM, run_id="late", lease_seconds=60, on_lost=lambda: None):
            return "began"
    except HarnessError as error:
        return str(error)


def namespace(name: str, *, labels: dict[str, str]) -> Document:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def test_nobody_waits_for_engines_before_everything_is_undone(
    profile: TargetProfile, api: FakeApi, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, ended = platform.pod("engine-1")["status"]["conditions"][0], []
    ready["status"] = "False"

    def end(_step: PodKill, _world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        ended.append(entry.id)
        ready["status"] = str(len(ended) == 2)
        return "undone"

    monkeypatch.setattr(PodKill, "end", end)
    waits = profile.waits.model_copy(update={"pod_ready_seconds": 0.5})
    for name in ("u-1", "u-2"):
        api.put(undo.config_map(entry(name), SYSTEM))

    done = heal(profile.model_copy(update={"waits": waits}), now=False)

    assert [one.verified for one in done] == [True, True]
