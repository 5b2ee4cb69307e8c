"""Heal works from any machine, twice, and never says healed without having looked."""

import fcntl
from pathlib import Path

import pytest

from hotfire.chaos import undo
from hotfire.chaos.heal import heal, open_entries
from hotfire.chaos.lease import RunLease
from hotfire.chaos.undo import Undo
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError, RollbackFailed
from hotfire.profile import TargetProfile
from tests.chaos.platform import SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import FakeApi


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
    evil = entry().model_copy(update={"undo": Undo(func="os.system", args={})})
    api.put(undo.config_map(evil, SYSTEM))

    done = heal(profile, now=False)

    assert not done[0].verified
    assert "knows no way 'os.system'" in done[0].detail


def test_an_entry_that_makes_its_undo_stumble_keeps_no_other_from_being_undone(
    profile: TargetProfile, api: FakeApi
) -> None:
    nameless = entry("u-2").model_copy(update={"undo": Undo(func="agent", args={})})
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
        with pytest.raises(HarnessError, match="run r is alive"):
            heal(profile, now=False)
        done = heal(profile, now=True)

    assert [one.verified for one in done] == [True]


def test_namespaces_of_runs_are_removed_once_all_is_healed(
    profile: TargetProfile, api: FakeApi
) -> None:
    labels = {"hotfire.dev/run": "r"}
    for name in ("hotfire-stack", SYSTEM):
        metadata = {"name": name, "labels": labels}
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    done = heal(profile, now=False)

    assert {one.entry_id for one in done} == {"hotfire-stack", SYSTEM}
    assert api.names("namespaces") == ["kube-system"]
