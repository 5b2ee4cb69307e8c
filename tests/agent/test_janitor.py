"""The janitor undoes when the Lease has ended, never before, and only by its closed list."""

import json
from pathlib import Path
from typing import Any

import pytest

from hotfire.agent.host import OperationError
from hotfire.agent.janitor import CHANGED, Api, Janitor
from tests.fake_api import FakeApi, serving
from tests.hostile_peer import answering

LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/hotfire-run"
Document = dict[str, Any]


class FakeCluster:
    """What the janitor asks the API server for, and what it was told."""

    def __init__(self) -> None:
        self.lease: Document | None = lease("2026-01-01T00:00:00Z")
        self.copies: list[Document] = []
        self.objects: dict[str, Document] = {}
        self.patches: list[tuple[str, Document]] = []
        self.refused = ""

    def get(self, path: str) -> Document | None:
        if path == LEASE:
            return self.lease
        if not path.startswith("/api/v1/"):
            return self.objects.get(path)
        assert path.startswith("/api/v1/namespaces/system/configmaps?labelSelector=")
        return {"items": self.copies}

    def patch(self, path: str, body: Document) -> None:
        if self.refused and self.refused in path:
            raise OperationError("403")
        self.patches.append((path, body))


def lease(renewed: str, seconds: int = 60) -> Document:
    spec = {"holderIdentity": "run", "renewTime": renewed, "leaseDurationSeconds": seconds}
    return {"spec": spec}


def copy(
    word: str = "scale", name: str = "controller", state: str = "injected", **former: str
) -> Document:
    resource = "httproutes" if word == "change" else "deployments"
    target = {"name": name, "namespace": "gateway", "uid": "u", "resource": resource}
    undo = {"step": {"word": word}, "former": former or {"replicas": "2"}}
    entry = {"id": f"u-{name}", "target": target, "undo": undo, "state": state}
    return {"metadata": {"name": f"copy-{name}"}, "data": {"entry.json": json.dumps(entry)}}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def janitor(cluster: FakeCluster, clock: Clock) -> Janitor:
    return Janitor(
        cluster,  # type: ignore[arg-type]
        "system",
        lease="hotfire-run",
        label="hotfire.dev/undo",
        clock=clock,
    )


SCALED_BACK = (
    "/apis/apps/v1/namespaces/gateway/deployments/controller",
    {"metadata": {"uid": "u"}, "spec": {"replicas": 2}},
)


def test_nothing_is_undone_while_the_run_renews_its_lease(
    janitor: Janitor, cluster: FakeCluster, clock: Clock
) -> None:
    cluster.copies = [copy()]
    for second in range(0, 200, 20):
        clock.now = 100 + second
        cluster.lease = lease(f"renewed-{second}")
        assert janitor.turn() == []

    assert cluster.patches == []


def test_everything_is_undone_once_the_lease_was_not_renewed_for_its_length(
    janitor: Janitor, cluster: FakeCluster, clock: Clock
) -> None:
    cluster.copies = [copy()]
    assert janitor.turn() == []
    clock.now += 61

    assert janitor.turn() == [
        "copy-controller: deployments gateway/controller has 2 replicas again"
    ]
    assert cluster.patches == [SCALED_BACK]


def test_a_lease_that_was_deleted_has_ended(janitor: Janitor, cluster: FakeCluster) -> None:
    cluster.lease, cluster.copies = None, [copy()]

    janitor.turn()

    assert cluster.patches == [SCALED_BACK]


def test_what_is_healed_or_lives_on_a_node_is_left_alone(
    janitor: Janitor, cluster: FakeCluster
) -> None:
    cluster.lease = None
    cluster.copies = [copy(state="healed"), copy(word="link-silent-loss"), copy(word="os.system")]

    assert janitor.turn() == []
    assert cluster.patches == []


def test_one_bad_entry_hides_no_other(janitor: Janitor, cluster: FakeCluster) -> None:
    cluster.lease, cluster.refused = None, "refused"
    broken = {"metadata": {"name": "broken"}, "data": {"entry.json": "{"}}
    cluster.copies = [broken, copy(name="../evil"), copy(name="refused"), copy()]

    told = janitor.turn()

    assert [line.split(":")[0] for line in told] == [
        "broken", "copy-../evil", "copy-refused", "copy-controller",
    ]  # fmt: skip
    assert cluster.patches == [SCALED_BACK]


def test_a_node_that_was_cordoned_before_stays_so(janitor: Janitor, cluster: FakeCluster) -> None:
    cluster.lease = None
    cluster.copies = [
        copy(word="cordon", name="n1", unschedulable="true"),
        copy(word="cordon", name="n2", unschedulable="false"),
    ]

    janitor.turn()

    body = {"metadata": {"uid": "u"}, "spec": {"unschedulable": None}}
    assert cluster.patches == [("/api/v1/nodes/n2", body)]


ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/gateway/httproutes"


def test_only_what_still_bears_the_mark_of_its_change_is_put_back(
    janitor: Janitor, cluster: FakeCluster
) -> None:
    cluster.lease = None
    cluster.copies = [copy("change", name, value='[{"a": 1}]') for name in ("one", "two", "gone")]
    for name, entry in {"one": "u-one", "two": "u-another"}.items():
        cluster.objects[f"{ROUTES}/{name}"] = {"metadata": {"annotations": {CHANGED: entry}}}

    janitor.turn()

    mark = {"uid": "u", "annotations": {CHANGED: None}}
    assert cluster.patches == [(f"{ROUTES}/one", {"metadata": mark, "spec": {"rules": [{"a": 1}]}})]


DEPLOYMENTS = "/apis/apps/v1/namespaces/gateway/deployments"


def rolled_out(mark: str) -> Document:
    containers = [{"name": "proxy"}, {"name": "engine", "args": ["--bad"]}]
    template = {"metadata": {"annotations": {CHANGED: mark}}, "spec": {"containers": containers}}
    return {"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"template": template}}


def test_a_pod_template_is_put_back_once_and_as_it_was_read(
    janitor: Janitor, cluster: FakeCluster
) -> None:
    cluster.lease, args = None, '["--good"]'
    cluster.copies = [
        copy("canary-behaviour", "one", container="engine", args=args),
        copy("canary-behaviour", "two", container="engine", args=args),
        copy("roll-out", "three"),
        copy("roll-out", "gone"),
    ]
    for name, mark in {"one": "u-one", "two": "u-another", "three": "u-three"}.items():
        cluster.objects[f"{DEPLOYMENTS}/{name}"] = rolled_out(mark)

    janitor.turn()

    found = {"uid": "u", "resourceVersion": "7"}
    unmarked: Document = {"metadata": {"annotations": {CHANGED: None}}}
    former = {"containers": [{"name": "proxy"}, {"name": "engine", "args": ["--good"]}]}
    assert cluster.patches == [
        (
            f"{DEPLOYMENTS}/one",
            {"metadata": found, "spec": {"template": {**unmarked, "spec": former}}},
        ),
        (f"{DEPLOYMENTS}/three", {"metadata": found, "spec": {"template": unmarked}}),
    ]


def test_a_template_whose_mark_is_on_the_object_is_put_back_without_other_pods(
    janitor: Janitor, cluster: FakeCluster
) -> None:
    cluster.lease = None
    cluster.copies = [copy("engine-arguments", "one", container="engine", args='["--good"]')]
    found = rolled_out("")
    found["metadata"]["annotations"] = {CHANGED: "u-one"}
    cluster.objects[f"{DEPLOYMENTS}/one"] = found

    janitor.turn()

    metadata = {"uid": "u", "resourceVersion": "7", "annotations": {CHANGED: None}}
    former = {"containers": [{"name": "proxy"}, {"name": "engine", "args": ["--good"]}]}
    body = {"metadata": metadata, "spec": {"template": {"spec": former}}}
    assert cluster.patches == [(f"{DEPLOYMENTS}/one", body)]


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("secret\n")
    return tmp_path


def test_the_api_server_is_asked_as_the_pods_own_account(account: Path) -> None:
    document: Document = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0}}
    document["metadata"] = {"name": "controller", "namespace": "gateway"}
    fake = FakeApi()
    fake.put(document)

    with serving(fake) as address:
        api = Api(address, account)
        api.patch(SCALED_BACK[0], {"spec": {"replicas": 2}})
        found, missing = api.get(SCALED_BACK[0]), api.get(f"{SCALED_BACK[0]}-2")

    assert found is not None
    assert found["spec"] == {"replicas": 2}
    assert missing is None


def test_a_redirect_gets_no_token(account: Path) -> None:
    asked: list[bool] = []

    def elsewhere() -> list[bytes]:
        asked.append(True)
        return [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]

    with answering(elsewhere) as other:
        redirect = f"HTTP/1.1 307 x\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n".encode()
        with answering(lambda: [redirect]) as url, pytest.raises(OperationError, match="307"):
            Api(url, account).get("/version")

    assert asked == []
