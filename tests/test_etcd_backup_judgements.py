"""What a member holds that was made of a backup, and whether that is what was there."""

import base64
import json
from typing import cast

import pytest

from fixtures.etcd_backup import Backups, held
from hotfire.cluster import Cluster
from hotfire.errors import ClusterError, HarnessError
from hotfire.upkeep import EtcdBackup
from suites.cluster.test_etcd_restores_from_its_backup import Objects, check_control, different

NOBODY = cast("Cluster", None)
OBJECTS = Objects(cluster=NOBODY, namespace="ns")
AT_BACKUP = {"ns/kept": 1, "ns/changed": 2, "ns/deleted": 3}
NOW = {"ns/kept": 1, "ns/changed": 5, "ns/new": 6, "ns/kube-root-ca.crt": 7}


def told(**revisions: int) -> str:
    """Return what etcdctl prints; of a key slashes are underscores here."""
    keys = {
        base64.b64encode(k.replace("_", "/").encode()).decode(): r for k, r in revisions.items()
    }
    return json.dumps({"kvs": [{"key": key, "mod_revision": r} for key, r in keys.items()]})


def backups(**commands: list[str] | float) -> Backups:
    declared = {"take": ["true"], "restore": ["true"], **commands}
    return Backups(cluster=NOBODY, declared=EtcdBackup.model_validate(declared))


def test_objects_are_told_by_namespace_and_name_whatever_the_prefix() -> None:
    said = told(_registry_configmaps_a_b=7, _kubernetes_configmaps_a_c=8, _registry_pods_a_b=9)

    assert held(said) == {"a/b": 7, "a/c": 8}


def test_member_without_any_key_holds_nothing() -> None:
    assert held('{"header": {}}') == {}


@pytest.mark.parametrize("said", ["", "[]", "restored", '{"kvs": [{}]}'])
def test_other_words_are_trouble_of_ours(said: str) -> None:
    with pytest.raises(HarnessError, match="was to print what `etcdctl get"):
        held(said)


def test_missing_and_changed_objects_are_different() -> None:
    assert different(AT_BACKUP, {"ns/kept": 1, "ns/changed": 9}) == ["ns/changed", "ns/deleted"]


def test_changes_after_a_backup_are_not_in_it() -> None:
    check_control(OBJECTS, NOW, AT_BACKUP)


@pytest.mark.parametrize("also", [{"ns/new": 6}, {"ns/changed": 5}, {"ns/kept": 9}])
def test_backup_that_holds_a_later_change_shows_nothing(also: dict[str, int]) -> None:
    with pytest.raises(HarnessError, match="the backup is older"):
        check_control(OBJECTS, NOW, AT_BACKUP | also)


def test_backup_is_where_the_last_line_says() -> None:
    assert backups(take=["printf", "saving\\n/backups/1.db\\n\\n"]).take() == "/backups/1.db"


@pytest.mark.parametrize("command", [["false"], ["true"]])
def test_backup_of_which_nobody_says_where_it_is_cannot_be_judged(command: list[str]) -> None:
    with pytest.raises(HarnessError, match="was to make a backup and to print where it is"):
        backups(take=command).take()


def test_backup_that_cannot_be_restored_is_a_value() -> None:
    script = 'echo "it is empty: $0" >&2; exit 1'

    found = backups(restore=["sh", "-c", script]).restore("/backups/1.db")

    assert found.problem == "it is empty: /backups/1.db"


def test_restoration_without_end_is_a_value_and_one_without_a_command_is_not() -> None:
    endless = backups(restore=["sleep", "9"], restore_seconds=0.05).restore("9")

    assert "timed out" in endless.problem
    with pytest.raises(ClusterError, match="did not run"):
        backups(restore=["/no/such/command"]).restore("/backups/1.db")
