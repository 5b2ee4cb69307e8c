"""What a check changes of the platform is put back, whoever dies: once, and nobody else's word."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.changes import Changes
from hotfire.agent.janitor import CHANGED, put_back
from hotfire.chaos import janitor, undo
from hotfire.chaos.heal import heal
from hotfire.chaos.holders import release
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.steps.change import Change
from hotfire.chaos.undo import UndoJournal
from hotfire.chaos.written import Target
from hotfire.cluster import Cluster, Estate
from hotfire.errors import HarnessError
from hotfire.own_folders import project_root
from hotfire.profile import StackChoice, TargetProfile
from tests.chaos.platform import NAMESPACE, SYSTEM
from tests.fake_api import KINDS, SCALES, Document, FakeApi

FOUND = [{"backendRefs": [{"name": "engine", "weight": 100}]}]
OURS = [{"backendRefs": [{"name": "engine", "weight": 50}]}]
THEIRS = [{"backendRefs": [{"name": "engine-v2", "weight": 100}]}]


@pytest.fixture
def route(api: FakeApi) -> Document:
    return put(api, "gateway.networking.k8s.io/v1", "HTTPRoute", {"rules": FOUND})


@pytest.fixture
def workload(api: FakeApi) -> Document:
    return put(api, "apps/v1", "Deployment", {"replicas": 2})


def put(api: FakeApi, version: str, kind: str, spec: Document) -> Document:
    metadata = {"name": "models", "namespace": NAMESPACE, "annotations": {"team": "a"}}
    return api.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


@pytest.fixture
def estate(cluster: Cluster, tmp_path: Path) -> Estate:
    estate = Estate(cluster, SYSTEM, run_id="r", journal=tmp_path / "made.jsonl")
    estate.open()
    return estate


@pytest.fixture
def held(cluster: Cluster, estate: Estate) -> Iterator[RunLease]:
    with RunLease(cluster, SYSTEM, run_id="r", lease_seconds=60, on_lost=lambda: None) as held:
        yield held


@pytest.fixture
def changes(world: World, estate: Estate, held: RunLease, tmp_path: Path) -> Changes:
    journal = UndoJournal(tmp_path / "undo.jsonl", world.cluster, SYSTEM)
    return Changes(world=world, journal=journal, estate=estate, held=held, case="GTW-013")


def now(api: FakeApi, document: Document) -> Document:
    plural = f"{document['kind'].lower()}s"
    return api.objects[document["apiVersion"], plural, NAMESPACE, "models"]


def test_a_route_is_as_it_was_found_however_often_it_was_changed(
    changes: Changes, api: FakeApi, route: Document
) -> None:
    changes.write("httproutes", route, OURS)
    changes.write("httproutes", route, [])
    marked = now(api, route)["metadata"]["annotations"]

    changes.put_all_back()

    assert CHANGED in marked
    assert now(api, route)["spec"] == {"rules": FOUND}
    assert now(api, route)["metadata"]["annotations"] == {"team": "a"}
    assert changes.journal.open() == []


def test_a_workload_is_put_back_within_its_case(
    changes: Changes, api: FakeApi, workload: Document
) -> None:
    changes.write("deployments", workload, 3)
    during = now(api, workload)["spec"]["replicas"]
    changes.put_back(workload)

    assert (during, now(api, workload)["spec"]["replicas"]) == (3, 2)


def test_of_an_object_within_only_what_was_changed_is_put_back(
    changes: Changes, api: FakeApi
) -> None:
    spec = {"predictor": {"minReplicas": 2, "model": {"runtime": "vllm"}}}
    service = put(api, "serving.kserve.io/v1beta1", "InferenceService", spec)
    changes.write("inferenceservices", service, {"minReplicas": 3})
    theirs = now(api, service)["spec"]["predictor"]["model"]
    theirs["runtime"] = "sglang"

    changes.put_all_back()

    after = {"minReplicas": 2, "model": {"runtime": "sglang"}}
    assert now(api, service)["spec"]["predictor"] == after


@pytest.fixture
def graph(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Document:
    """Have an object of a kind that only its scale subresource makes scalable."""
    monkeypatch.setitem(KINDS, "example.com/v1", {"EngineGraph": True})
    monkeypatch.setitem(SCALES, ("example.com/v1", "enginegraphs"), ("decode", "count"))
    return put(api, "example.com/v1", "EngineGraph", {"decode": {"count": 2}})


SCALED = "enginegraphs/scale"


def test_by_a_scale_subresource_a_kind_that_nobody_knows_is_changed_and_put_back(
    changes: Changes, api: FakeApi, graph: Document
) -> None:
    changes.write(SCALED, graph, 3)
    during = now(api, graph)
    changes.write(SCALED, graph, 4)
    changes.put_all_back()

    assert (during["spec"], CHANGED in during["metadata"]["annotations"]) == (
        {"decode": {"count": 3}},
        True,
    )
    assert now(api, graph)["spec"] == {"decode": {"count": 2}}
    assert now(api, graph)["metadata"]["annotations"] == {"team": "a"}


def test_a_scale_that_comes_after_its_undo_is_put_back_as_well(
    changes: Changes, api: FakeApi, graph: Document, profile: TargetProfile
) -> None:
    """Somebody healed after the mark and before the number."""
    healed = iter([heal])

    def late() -> None:
        # Its own write of the number is the second such request.
        api.before["PATCH enginegraphs"] = lambda: next(healed)(profile, now=True)

    api.before["PATCH enginegraphs"] = late

    with pytest.raises(HarnessError, match="lost the cluster"):
        changes.write(SCALED, graph, 3)
    changes.put_all_back()

    assert now(api, graph)["spec"] == {"decode": {"count": 2}}
    assert now(api, graph)["metadata"]["annotations"] == {"team": "a"}


def test_the_janitor_scales_back_by_the_subresource_and_takes_the_mark_away_last(
    changes: Changes, api: FakeApi, graph: Document, cluster: Cluster
) -> None:
    changes.write(SCALED, graph, 3)
    [entry] = undo.copies(cluster, SYSTEM).entries
    there = Patched(now(api, graph))

    put_back(there, json.loads(entry.model_dump_json()))  # type: ignore[arg-type]

    path = f"/apis/example.com/v1/namespaces/{NAMESPACE}/enginegraphs/models"
    uid = graph["metadata"]["uid"]
    assert there.patches == [
        (f"{path}/scale", {"metadata": {"uid": uid}, "spec": {"replicas": 2}}),
        (path, {"metadata": {"uid": uid, "annotations": {CHANGED: None}}}),
    ]


def test_the_janitor_may_scale_that_object_and_mark_it() -> None:
    target = Target(resource=SCALED, name="models", version="example.com/v1")

    [rule] = Change().rules(target)

    assert rule["resources"] == ["enginegraphs", SCALED]
    assert (rule["apiGroups"], rule["resourceNames"]) == (["example.com"], ["models"])


def test_what_a_killed_runner_left_changed_is_healed_from_the_cluster_alone(
    changes: Changes, api: FakeApi, route: Document, profile: TargetProfile
) -> None:
    changes.write("httproutes", route, OURS)

    done = heal(profile, now=True)

    assert [(one.fault, one.verified) for one in done][:1] == [("GTW-013", True)]
    assert now(api, route)["spec"]["rules"] == FOUND


def test_nothing_is_changed_that_nobody_could_put_back(
    changes: Changes, api: FakeApi, route: Document
) -> None:
    api.refuse["PATCH configmaps"] = 403

    with pytest.raises(HarnessError):
        changes.write("httproutes", route, OURS)

    assert now(api, route)["spec"]["rules"] == FOUND


class Patched:
    """The API server as the janitor reaches it, for the one object that it may patch."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.patches: list[tuple[str, Document]] = []

    def get(self, _path: str) -> Document:
        return self.document

    def patch(self, path: str, body: Document) -> None:
        self.patches.append((path, body))
        if "annotations" in body["metadata"]:
            self.document["metadata"]["annotations"].pop(CHANGED)
        self.document["spec"] |= body.get("spec", {})


def test_what_its_owner_wrote_after_it_was_put_back_stays(
    changes: Changes, api: FakeApi, route: Document, cluster: Cluster, profile: TargetProfile
) -> None:
    changes.write("httproutes", route, OURS)
    [entry] = undo.copies(cluster, SYSTEM).entries
    there = Patched(now(api, route))

    put_back(there, json.loads(entry.model_dump_json()))  # type: ignore[arg-type]
    by_the_janitor = there.document["spec"]["rules"]
    there.document["spec"]["rules"] = THEIRS
    heal(profile, now=True)

    assert by_the_janitor == FOUND
    assert now(api, route)["spec"]["rules"] == THEIRS


def test_a_change_that_comes_after_its_undo_is_noticed_and_put_back(
    changes: Changes, api: FakeApi, route: Document, profile: TargetProfile
) -> None:
    """The runner stood still between its last look and its write; somebody healed meanwhile."""
    api.before["PATCH httproutes"] = lambda: heal(profile, now=True)

    with pytest.raises(HarnessError, match="lost the cluster"):
        changes.write("httproutes", route, OURS)
    late = now(api, route)["spec"]["rules"]
    changes.put_all_back()

    assert late == OURS
    assert now(api, route)["spec"]["rules"] == FOUND


def test_who_lost_the_cluster_puts_back_what_it_changed(
    changes: Changes, api: FakeApi, route: Document, cluster: Cluster
) -> None:
    changes.write("httproutes", route, OURS)
    release(cluster, SYSTEM)

    changes.put_all_back()

    assert now(api, route)["spec"]["rules"] == FOUND


def test_what_is_still_changed_is_not_changed_again(
    changes: Changes, route: Document, api: FakeApi
) -> None:
    now(api, route)["metadata"]["annotations"][CHANGED] = "u-0"

    with pytest.raises(HarnessError, match="run `hotfire heal`, or look"):
        changes.write("httproutes", route, OURS)


def test_a_forged_entry_reaches_no_namespace_that_the_target_file_does_not_name(
    changes: Changes, api: FakeApi, route: Document, cluster: Cluster, profile: TargetProfile
) -> None:
    changes.write("httproutes", route, OURS)
    [entry] = undo.copies(cluster, SYSTEM).entries
    metadata = {"name": "models", "namespace": "payments", "annotations": {CHANGED: entry.id}}
    other = api.put({**route, "metadata": metadata, "spec": {"rules": THEIRS}})
    target = {"namespace": "payments", "uid": other["metadata"]["uid"]}
    forged = entry.model_copy(update={"target": entry.target.model_copy(update=target)})
    api.put(undo.config_map(forged, SYSTEM))

    done = heal(profile, now=True)

    assert "in none of the namespaces that the target file names" in done[0].detail
    assert other["spec"]["rules"] == THEIRS


def test_on_a_platform_that_is_not_ours_the_janitor_is_there_first(
    changes: Changes, route: Document, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "is_live", lambda *_: bool(api.names("deployments")))
    foreign = changes.world.profile.model_copy(update={"stack": StackChoice(deploy=False)})
    world = World(cluster=changes.world.cluster, agent=changes.world.agent, profile=foreign)
    mine = Changes(
        world=world, journal=changes.journal, estate=changes.estate, held=changes.held, case="x"
    )

    mine.write("httproutes", route, OURS)

    [role] = [one for key, one in api.objects.items() if key[1] == "clusterroles"]
    assert role["rules"] == [{
        "apiGroups": ["gateway.networking.k8s.io"], "verbs": ["get", "patch"],
        "resources": ["httproutes"], "resourceNames": ["models"],
    }]  # fmt: skip
    assert api.names("deployments") == [janitor.NAME]


# Of our own making: the slice of devices, the queues and the groups that a case brings along.
# A restart, as `kubectl rollout restart` asks for it, ends by itself and leaves the same pods.
# And a stack that this run deployed is ours as a whole.
PATCHING = {
    *("engine_groups.py", "queues.py", "replicas.py"),
    "test_device_taints_act_and_clear.py",
    "test_engines_scale_by_whole_instances.py",
    "test_rolling_update_keeps_its_capacity.py",
}


def test_checks_change_what_is_not_ours_in_no_other_way() -> None:
    """Applying and creating refuse what bears no mark of ours; patching does not."""
    files = [
        *(project_root() / "suites").rglob("*.py"),
        *(project_root() / "fixtures").glob("*.py"),
    ]

    patching = {path.name for path in files if "patch" in called(path)}

    assert len(files) > 50
    assert patching == PATCHING


def called(path: Path) -> set[str]:
    """Return the names of the methods that a file calls."""
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    return {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
