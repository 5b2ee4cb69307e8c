"""What a step has made is deleted by the janitor: that very object, under the name it must have."""

import json
from pathlib import Path
from typing import Any

import pytest

from hotfire.agent.host import OperationError
from hotfire.agent.janitor import CHANGED, MADE, WAYS, Api
from tests.fake_api import FakeApi, serving

Document = dict[str, Any]
POD = "/api/v1/namespaces/system/pods/hotfire-n1"
RULE = "/apis/resource.k8s.io/v1beta2/devicetaintrules/hotfire-n1"


class FakeCluster:
    """One object, and what was deleted."""

    def __init__(self, path: str, mark: str) -> None:
        self.there = {path: {"metadata": {"uid": "u-7", "annotations": {CHANGED: mark}}}}
        self.deleted: list[tuple[str, str]] = []

    def get(self, path: str) -> Document | None:
        return self.there.get(path)

    def delete(self, path: str, uid: str) -> None:
        self.deleted.append((path, uid))


def undone(cluster: FakeCluster, word: str, **former: str) -> str:
    undo = {"step": {"word": word}, "former": former}
    entry = {"id": "u-1", "target": {"name": "n1"}, "undo": undo}
    return WAYS[word](cluster, entry)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "word", "former"),
    [
        (POD, "memory-take", {"namespace": "system"}),
        (RULE, "device-taint", {}),
        (RULE.replace("v1beta2", "v1"), "device-taint", {"version": "resource.k8s.io/v1"}),
    ],
)
def test_what_was_made_is_deleted(path: str, word: str, former: dict[str, str]) -> None:
    cluster = FakeCluster(path, "u-1")

    assert undone(cluster, word, **former).endswith("hotfire-n1 is deleted")
    assert cluster.deleted == [(path, "u-7")]


@pytest.mark.parametrize("mark", ["u-2", ""])
def test_another_object_under_that_name_stays(mark: str) -> None:
    cluster = FakeCluster(POD, mark)

    assert "not of this fault" in undone(cluster, "memory-take", namespace="system")
    assert not cluster.deleted


def test_an_entry_that_somebody_edited_leads_nowhere_else() -> None:
    with pytest.raises(OperationError, match="no name of an object"):
        undone(FakeCluster(POD, "u-1"), "memory-take", namespace="system/pods/x?")
    with pytest.raises(OperationError, match="is no version of devicetaintrules"):
        undone(FakeCluster(RULE, "u-1"), "device-taint", version="resource.k8s.io/v1/../v2")


def test_each_word_of_what_is_made_has_a_way() -> None:
    assert set(MADE) <= set(WAYS)


def test_a_service_selects_its_own_pods_before_what_stands_before_them_goes(
    tmp_path: Path,
) -> None:
    api, place = FakeApi(), {"namespace": "system", "annotations": {CHANGED: "u-1"}}
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {**place, "name": "hotfire-s"}})
    made = {**place, "name": "s", "uid": "u-7"}
    late = {"selector": {"late": "s"}}
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": made, "spec": late})
    target = {"name": "s", "namespace": "system", "uid": "u-7", "resource": "services"}
    former = {"namespace": "system", "value": json.dumps({"late": None, "app": "s"})}
    entry = {"id": "u-1", "target": target}
    entry |= {"undo": {"step": {"word": "service-delay"}, "former": former}}
    (tmp_path / "token").write_text("t")

    with serving(api) as address:
        for _ in range(2):
            WAYS["service-delay"](Api(address, tmp_path), entry)

    assert api.objects["v1", "services", "system", "s"]["spec"] == {"selector": {"app": "s"}}
    assert not api.names("pods")
    changes = [one for one in api.requests if not one.startswith("GET")]
    assert changes == ["PATCH services", "DELETE pods"]


def test_only_that_very_object_is_deleted(tmp_path: Path) -> None:
    api, place = FakeApi(), {"name": "hotfire-n1", "namespace": "system"}
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {**place, "uid": "u-7"}})
    (tmp_path / "token").write_text("t")
    with serving(api) as address:
        client = Api(address, tmp_path)

        with pytest.raises(OperationError, match="409"):
            client.delete(POD, "another")
        client.delete(POD, "u-7")
        client.delete(POD, "u-7")

    assert not api.names("pods")
