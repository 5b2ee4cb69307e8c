"""What a target lacks is one line with its remedy; what a run needs is read from the source."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

import hotfire
from hotfire import TargetProfile, cli
from hotfire.cli.catalogue import entries
from hotfire.cli.doctor import unit
from hotfire.doctor.access import permissions
from hotfire.doctor.asked import Need
from hotfire.doctor.engines import engines
from hotfire.doctor.examine import unreached
from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.gateway import answers
from hotfire.doctor.gateway import gateway as gateways
from hotfire.doctor.owners import with_owners
from hotfire.doctor.permissions import Needs, Permissions, Unit
from hotfire.doctor.place import Where
from hotfire.doctor.platform import claims, components, nodes
from hotfire.doctor.roles import everywhere, inside, roles
from hotfire.doctor.site import Site
from hotfire.errors import ClusterError
from hotfire.own_folders import project_root
from tests.fake_api import KINDS, SCALES, FakeApi, connect, serving
from tests.foreign_cluster import GPU, NAMESPACE, foreign_cluster, put, route, workload

FIELDS: dict[str, Any] = {
    "name": "acme",
    "namespace": NAMESPACE,
    "gateway": {"url": "http://127.0.0.1:1"},
    "engine": {"model": "llama", "selector": {"app": "llama"}, "container": "main", "port": 8080},
    "accelerator": {
        "resource": GPU,
        "taint_key": "example.com/accelerated",
        "node_selector": {"example.com/accelerator": "mi300"},
    },
    "stack": {"deploy": False},
    "budgets": "lab",
}


def profile(**changes: Any) -> TargetProfile:  # noqa: ANN401 - any field
    return TargetProfile.model_validate(FIELDS | changes)


def reader(*, deploy: bool = False) -> Permissions:
    target = profile(
        stack={"deploy": deploy},
        components={"monitoring": {"namespace": "monitoring", "name": "prometheus"}},
        allowed_namespaces=[NAMESPACE, "monitoring"],
    )
    return Permissions(project_root(), Path(hotfire.__file__).parent, target)


@cache
def read() -> tuple[dict[str, Needs], Needs]:
    """Return what each requirement and fault needs, and what every run does."""
    root, own = project_root(), reader()
    units = [unit(one, root) for one in entries(root)]
    return {one.id: own.of(one) for one in units}, own.of_every_run()


NOTHING = Needs(api=frozenset(), fixtures=frozenset())


def site(address: str, units: dict[Unit, Needs] | None = None, **changes: Any) -> Site:  # noqa: ANN401
    target, cluster = profile(**changes), connect(address)
    return Site(profile=target, cluster=cluster, units=units or {}, every_run=NOTHING)


# What a run needs, from the source.


def test_every_call_says_what_it_asks_for() -> None:
    units, every_run = read()

    unknown = every_run.unknown.union(*(one.unknown for one in units.values()))
    assert sorted(unknown) == []


@pytest.mark.parametrize(
    ("id_", "need"),
    [
        ("GTW-002", Need("gateway.networking.k8s.io", "httproutes", "patch", Where.PLATFORM)),
        ("LIF-006", Need("", "pods/eviction", "create")),
        ("OPR-002", Need("serving.hotfire.dev", "modelservings", "create")),
        ("OPR-003", Need("", "resourcequotas", "create")),
        ("LIF-002", Need("", "pods", "watch", Where.PLATFORM)),
        ("LIF-002", Need("apps", "deployments/scale", "patch", Where.PLATFORM)),
        ("LIF-002", Need("apps", "statefulsets/scale", "get", Where.PLATFORM)),
        ("SEC-009", Need("authorization.k8s.io", "subjectaccessreviews", "create")),
        ("SEC-009", Need("gateway.networking.k8s.io", "httproutes", "patch", Where.PLATFORM)),
        ("SEC-007", Need("", "secrets", "watch", Where.PLATFORM)),
        ("SEC-007", Need("", "secrets", "create")),
        ("SCH-008", Need("kueue.x-k8s.io", "clusterqueues", "create")),
        ("SEC-007", Need("", "/metrics", "get")),
        ("SCH-005", Need("policy", "poddisruptionbudgets", "list", Where.PLATFORM)),
        ("FLT-POD-001", Need("", "pods", "delete", Where.ALLOWED)),
        ("FLT-CTL-004", Need("coordination.k8s.io", "leases", "patch", Where.ALLOWED)),
        ("FLT-DEP-005", Need("apps", "deployments/scale", "patch")),
        ("FLT-DEP-005", Need("rbac.authorization.k8s.io", "clusterroles", "create")),
        ("FLT-GPU-002", Need("", "nodes", "get")),
    ],
)
def test_what_a_check_or_a_fault_does_is_among_its_needs(id_: str, need: Need) -> None:
    assert need in read()[0][id_].api


@pytest.mark.parametrize(
    ("id_", "resource", "verb"),
    [
        ("API-001", "pods", "create"),
        ("GTW-002", "deployments/scale", "patch"),
        ("FLT-POD-001", "clusterroles", "create"),
        ("FLT-NET-001", "httproutes", "patch"),
        ("CLU-002", "pods/log", "get"),
        ("SLO-001", "jobs", "create"),
        ("SEC-007", "secrets", "patch"),
        ("SEC-007", "secrets", "delete"),
    ],
)
def test_what_it_never_does_is_not(id_: str, resource: str, verb: str) -> None:
    needs = read()[0][id_].api - read()[1].api

    assert [one for one in needs if (one.resource, one.verb) == (resource, verb)] == []


def test_secrets_are_read_in_the_platform_s_namespace_alone() -> None:
    asked = {one for one in read()[0]["SEC-007"].api if one.resource == "secrets"}

    assert {one.verb for one in asked if one.where is Where.ANYWHERE} == {"create"}


def test_every_run_takes_its_lease_and_its_namespace() -> None:
    needs = {(one.resource, one.verb) for one in read()[1].api}

    assert {("leases", "create"), ("leases", "update"), ("namespaces", "create")} <= needs
    assert {("daemonsets", "delete"), ("configmaps", "list"), ("pods/exec", "create")} <= needs


def test_fixtures_are_known_that_are_asked_for_in_any_way() -> None:
    units, _ = read()

    assert "engine_metrics" in units["API-005"].fixtures
    assert "agent" in units["FLT-NET-001"].fixtures
    assert "engine_metrics" not in units["GTW-002"].fixtures


def test_the_reference_stack_is_put_up_only_where_that_is_wanted() -> None:
    priority = Need("scheduling.k8s.io", "priorityclasses", "create")

    assert priority in reader(deploy=True).of_every_run().api
    assert priority not in read()[1].api


def test_roles_are_as_small_as_the_needs() -> None:
    units, every_run = read()
    needs = every_run.api.union(*(one.api for one in units.values()))

    target = profile(allowed_namespaces=[NAMESPACE, "monitoring"])

    printed = roles(needs, target)

    text = yaml.safe_dump_all(printed)
    kinds = [(one["kind"], one["metadata"].get("namespace")) for one in printed]
    assert "*" not in text
    assert kinds.count(("ClusterRole", None)) == 1
    assert ("Role", NAMESPACE) in kinds
    assert not everywhere(needs) & inside(needs, target, NAMESPACE)


def test_what_only_faults_do_is_allowed_where_faults_may_be() -> None:
    target = profile(allowed_namespaces=[NAMESPACE, "monitoring"])
    needs = [Need("", "pods", "delete", Where.ALLOWED), Need("", "events", "list", Where.PLATFORM)]

    places = {
        one["metadata"]["namespace"]: [rule["resources"] for rule in one["rules"]]
        for one in roles(needs, target)
        if one["kind"] == "Role"
    }

    assert places == {NAMESPACE: [["pods"], ["events"]], "monitoring": [["pods"]]}


def test_a_page_of_the_api_server_is_a_path_of_the_cluster_role() -> None:
    printed = roles([Need("", "/metrics", "get"), Need("", "pods", "get")], profile())

    (role,) = [one for one in printed if one["kind"] == "ClusterRole"]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]


def test_a_secret_that_the_gateway_names_may_be_read_and_no_other() -> None:
    gateway = {"url": "http://g", "bearer_token": "${secret:keys/llm/token}"}

    printed = roles([], profile(gateway=gateway))

    (role,) = [one for one in printed if one["kind"] == "Role"]
    assert role["metadata"]["namespace"] == "keys"
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["llm"], "verbs": ["get"]}
    ]


def test_a_secret_that_several_tenants_are_in_is_named_once() -> None:
    keys = [{"X-Api-Key": f"${{secret:keys/tenants/{name}}}"} for name in ("a", "b", "old")]
    tenants = {"a": {"headers": keys[0]}, "b": {"headers": keys[1]}}
    clients = {"tenants": tenants, "refused": {"expired": keys[2]}}

    printed = roles([], profile(clients=clients))

    (role,) = [one for one in printed if one["kind"] == "Role"]
    assert role["rules"][0]["resourceNames"] == ["tenants"]


GROUP, SCALED = "example.com", "enginegraphs/scale"


def test_rights_on_what_the_engines_belong_to_are_those_of_this_very_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(KINDS, f"{GROUP}/v1", {"EngineGraph": True})
    monkeypatch.setitem(SCALES, (f"{GROUP}/v1", "enginegraphs"), ("count",))
    api, graph = foreign_cluster(), ("EngineGraph", f"{GROUP}/v1", "graph")
    put(api, *graph, namespace=NAMESPACE, spec={"count": 2})
    deployment = api.objects["apps/v1", "deployments", NAMESPACE, "llama"]
    reference = dict(zip(("kind", "apiVersion", "name"), graph, strict=True))
    deployment["metadata"]["ownerReferences"] = [reference]
    words = {"reads": {"replicated"}, "writes": {"replicated", "with_replicas"}, "else": set()}
    units = {
        Unit(id=id_, path=Path(id_)): replace(NOTHING, words=frozenset(some))
        for id_, some in words.items()
    }

    with serving(api) as address:
        found = with_owners(units, connect(address), profile())

    verbs = {
        unit.id: {(one.resource, one.verb) for one in needs.api if one.group == GROUP}
        for unit, needs in found.items()
    }
    reading = {("enginegraphs", "get"), (SCALED, "get")}
    assert verbs["writes"] == reading | {("enginegraphs", "patch"), (SCALED, "patch")}
    assert (verbs["reads"], verbs["else"]) == (reading, set())
    assert {one.where for needs in found.values() for one in needs.api} == {Where.PLATFORM}


def test_the_command_prints_what_kubectl_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(yaml.safe_dump(FIELDS))

    assert cli.run(["doctor", "--target", str(path), "--rbac"]) == 0

    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {one["apiVersion"] for one in documents} == {"v1", "rbac.authorization.k8s.io/v1"}
    assert documents[1]["metadata"] == {"name": "hotfire", "namespace": "hotfire-runner"}


# The API server and what we may do there.


def test_a_page_of_the_api_server_that_we_may_not_read_is_told() -> None:
    api = foreign_cluster()
    api.forbidden = {("get", "/metrics")}
    needs = Needs(api=frozenset({Need("", "/metrics", "get")}), fixtures=frozenset())
    with serving(api) as address:
        (found,) = permissions(site(address, {Unit(id="SEC-007", path=Path("x")): needs}))

    assert (found.seen, found.ids) == ("you may not get /metrics", frozenset({"SEC-007"}))


def test_a_verb_that_is_missing_is_told_with_what_it_keeps_from_a_verdict() -> None:
    api = foreign_cluster()
    api.forbidden = {("patch", "httproutes")}
    route_ = Need("gateway.networking.k8s.io", "httproutes", "patch", Where.PLATFORM)
    units = {
        Unit(id="GTW-002", path=Path("x")): Needs(api=frozenset({route_}), fixtures=frozenset()),
        Unit(id="API-001", path=Path("y")): NOTHING,
    }
    with serving(api) as address:
        (found,) = permissions(site(address, units))

    assert found.mark is Mark.LACKING
    assert found.seen == f"you may not patch httproutes in {NAMESPACE}"
    assert "hotfire doctor --rbac | kubectl apply -f -" in found.remedy
    assert found.ids == {"GTW-002"}


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("cannot discover the API: 401 Unauthorized", "token has expired or is unknown"),
        ("certificate verify failed: unable to get local issuer", "set certificate-authority"),
        ("the API server does not answer: refused", "set kubeconfig and context"),
    ],
)
def test_an_api_server_that_is_not_reached_is_told_with_the_remedy(error: str, remedy: str) -> None:
    found = unreached(ClusterError(error))

    assert found.mark is Mark.IMPOSSIBLE
    assert remedy in found.remedy


# The gateway.


@dataclass
class Says:
    """What a gateway answers."""

    models: list[str] = field(default_factory=lambda: ["llama"])
    status: int = 200
    chat_status: int = 200


@contextmanager
def gateway(says: Says) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            rows = [{"id": name, "object": "model"} for name in says.models]
            self.answer(says.status, {"object": "list", "data": rows})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            message = {"role": "assistant", "content": "Hello."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            said = {"model": says.models[0], "choices": [choice], "usage": usage}
            self.answer(says.chat_status, said)

        def answer(self, status: int, document: object) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("says", "seen", "remedy"),
    [
        (Says(status=401), "401 from", "it wants a key: set gateway.bearer_token"),
        (Says(models=["mistral"]), "llama is not served", "set engine.model to one of mistral"),
        (Says(status=404, chat_status=404), "404 from", "set gateway.base_path"),
        (Says(chat_status=503), "a chat with llama failed (503", "see the engine's log"),
    ],
)
def test_a_gateway_that_lets_nobody_through_is_told(says: Says, seen: str, remedy: str) -> None:
    with gateway(says) as url:
        found = answers(profile(gateway={"url": url}))

    assert found.mark is Mark.IMPOSSIBLE
    assert found.seen.startswith(seen)
    assert remedy in found.remedy


def test_a_gateway_that_answers_is_fine() -> None:
    with gateway(Says()) as url:
        assert answers(profile(gateway={"url": url})).mark is Mark.FINE


def test_nobody_at_the_gateway_s_address_is_told() -> None:
    found = answers(profile())

    assert found.seen.startswith("connect: ")
    assert "set gateway.url or host_url" in found.remedy


def test_a_key_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)

    found = answers(profile(gateway={"url": "http://g", "bearer_token": "${env:NO_SUCH_KEY}"}))

    assert found.seen.startswith("gateway: ${env:NO_SUCH_KEY} cannot be read: no such variable")


def test_a_gateway_without_an_address_is_told() -> None:
    api = foreign_cluster()
    route(api, address=None)

    with serving(api) as address:
        first = next(gateways(site(address)))

    assert first.seen == "Gateway edge/public has no address"


# The engines.


def looked_at(api: FakeApi, **changes: Any) -> list[Finding]:  # noqa: ANN401
    with serving(api) as address:
        return list(engines(site(address, **changes)))


def with_pages(api: FakeApi, **pages: str) -> FakeApi:
    """Have each engine's first pod serve pages, by ``p8080=...``."""
    for port, text in pages.items():
        api.pages["llama-abc-0", port.removeprefix("p"), "/metrics"] = text
    return api


METRICS = "# HELP vllm:num_requests_running x\n# TYPE vllm:num_requests_running gauge\n"


def test_sound_engines_are_fine() -> None:
    found = looked_at(with_pages(foreign_cluster(), p8080=METRICS))

    assert {one.mark for one in found} == {Mark.FINE}


def test_metrics_behind_another_port_are_found() -> None:
    found = looked_at(with_pages(foreign_cluster(), p8080="{}", p9090=METRICS))

    (line,) = [one for one in found if one.about == "metrics"]
    assert line.mark is Mark.LACKING
    assert line.seen.endswith("has no metrics page at /metrics, port 9090 has")
    assert line.remedy == "set engine.metrics_port to 9090"


def test_metrics_that_we_may_not_look_at_are_not_called_missing() -> None:
    api = foreign_cluster()
    api.refuse["GET pods/proxy"] = 403

    assert [one for one in looked_at(api) if one.about == "metrics"] == []


def test_the_flag_that_turns_metrics_on_is_named() -> None:
    api = FakeApi()
    workload(api, "llama", image="lmsysorg/sglang:1", command=[], args=[])

    (line,) = [one for one in looked_at(api) if one.about == "metrics"]

    assert line.remedy == "start it with --enable-metrics"


def test_a_selector_that_takes_nothing_is_told_with_those_it_may_have_meant() -> None:
    (found,) = looked_at(foreign_cluster(), engine={"model": "m", "selector": {"app": "other"}})

    assert found.mark is Mark.IMPOSSIBLE
    assert "{'app': 'llama'}" in found.remedy


def test_two_candidates_are_told() -> None:
    api = with_pages(foreign_cluster(), p8080=METRICS)
    workload(api, "mistral")

    (line,) = [one for one in looked_at(api) if one.mark is Mark.NOTE]

    assert line.seen.startswith("ReplicaSet mistral-abc of Deployment mistral")


def test_an_engine_of_another_kind_is_told() -> None:
    engine = {**FIELDS["engine"], "kind": "sglang"}

    found = looked_at(with_pages(foreign_cluster(), p8080=METRICS), engine=engine)

    assert "set engine.kind to vllm if it is one" in [one.remedy for one in found]


def test_one_engine_has_no_survivor() -> None:
    api = FakeApi()
    workload(api, "llama", replicas=1)

    (line,) = [
        one for one in looked_at(with_pages(api, p8080=METRICS)) if one.mark is not Mark.FINE
    ]

    assert "run a second replica" in line.remedy


def test_engines_whose_number_nobody_can_tell_are_named_with_what_they_keep_from_a_verdict() -> (
    None
):
    api = with_pages(foreign_cluster(), p8080=METRICS)
    for pod in ("llama-abc-0", "llama-abc-1"):
        reference = {"kind": "Job", "apiVersion": "batch/v1", "name": "serve", "uid": "u"}
        api.objects["v1", "pods", NAMESPACE, pod]["metadata"]["ownerReferences"] = [reference]
    put(api, "Job", "batch/v1", "serve", namespace=NAMESPACE)
    needs = Needs(api=frozenset(), fixtures=frozenset(), words=frozenset({"replicated"}))
    with serving(api) as address:
        found = list(engines(site(address, {Unit(id="LIF-002", path=Path("x")): needs})))

    (line,) = [one for one in found if one.mark is Mark.LACKING]
    assert line.seen.startswith("pod llama-abc-0 belongs to Job serve of batch/v1")
    assert line.ids == frozenset({"LIF-002"})


def test_an_autoscaler_that_would_take_an_added_engine_away_is_told() -> None:
    api = with_pages(foreign_cluster(), p8080=METRICS)
    put(
        api, "HorizontalPodAutoscaler", "autoscaling/v2", "h", namespace=NAMESPACE,
        spec={"scaleTargetRef": {"kind": "Deployment", "name": "llama"}},
    )  # fmt: skip
    needs = Needs(api=frozenset(), fixtures=frozenset(), words=frozenset({"require_unscaled"}))
    with serving(api) as address:
        found = list(engines(site(address, {Unit(id="LIF-002", path=Path("x")): needs})))

    (line,) = [one for one in found if one.mark is Mark.LACKING]
    assert line.seen == "HorizontalPodAutoscaler h says how many engines Deployment llama has"
    assert line.ids == {"LIF-002"}


def test_a_container_of_another_name_is_told() -> None:
    engine = {**FIELDS["engine"], "container": "vllm"}

    found = looked_at(with_pages(foreign_cluster(), p8080=METRICS), engine=engine)

    assert "set engine.container to main" in [one.remedy for one in found]


# The rest of the platform.


def test_a_node_selector_that_takes_no_node_is_told_with_the_one_that_does() -> None:
    api = foreign_cluster()
    with serving(api) as address:
        (found,) = nodes(site(address, accelerator={"resource": GPU}))

    assert found.remedy == ("set accelerator.node_selector to {'example.com/accelerator': 'mi300'}")


def test_one_rack_is_told() -> None:
    api = foreign_cluster()
    with serving(api) as address:
        found = list(nodes(site(address)))

    assert [one.about for one in found if one.mark is Mark.LACKING] == ["racks"]


def test_what_is_not_claimed_is_a_note() -> None:
    api = foreign_cluster()
    units = {Unit(id="GTW-002", path=Path("x"), features=frozenset({"canary"})): NOTHING}
    with serving(api) as address:
        (found,) = claims(site(address, units))
        assert list(claims(site(address, units, claims=["canary"]))) == []

    assert found.mark is Mark.NOTE
    assert found.seen == "not claimed: canary (GTW-002)"


def test_a_part_that_faults_take_away_must_be_named_and_allowed() -> None:
    root, api = project_root(), foreign_cluster()
    (entry,) = [one for one in entries(root) if one.requirement.id == "FLT-DEP-005"]
    units = {unit(entry, root): NOTHING}
    place = {"namespace": "monitoring", "name": "prometheus", "kind": "StatefulSet"}
    named = {"components": {"monitoring": place}}
    with serving(api) as address:
        (unnamed,) = components(site(address, units))
        (elsewhere,) = components(site(address, units, **named))
        allowed = {"allowed_namespaces": [NAMESPACE, "monitoring"]}
        assert list(components(site(address, units, **named, **allowed))) == []

    assert unnamed.ids == {"FLT-DEP-005"}
    assert elsewhere.remedy == "add that to allowed_namespaces"


# The command.


def kubeconfig(tmp_path: Path, address: str) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        f"clusters: [{{name: c, cluster: {{server: '{address}'}}}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
    )
    return str(path)


def test_the_command_says_it_all_on_one_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = with_pages(foreign_cluster(), p8080=METRICS)
    path = tmp_path / "target.yaml"
    with serving(api) as address, gateway(Says()) as url:
        fields = {"kubeconfig": kubeconfig(tmp_path, address), "gateway": {"url": url}}
        path.write_text(yaml.safe_dump(FIELDS | fields))
        code = cli.run(["doctor", "--target", str(path)])

    lines = capsys.readouterr().out.splitlines()
    assert code == 2
    assert len(lines) < 24
    assert lines[0].startswith("ok  API server")
    assert any(line.startswith("ok  gateway") for line in lines)
    assert any("set fabric.rack_label" in line for line in lines)
    assert "requirements would be inconclusive" in lines[-1]


def test_a_cluster_that_is_away_is_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "target.yaml"
    fields = {"kubeconfig": kubeconfig(tmp_path, "http://127.0.0.1:1")}
    path.write_text(yaml.safe_dump(FIELDS | fields))

    assert cli.run(["doctor", "--target", str(path)]) == 2

    assert "no  API server" in capsys.readouterr().out
