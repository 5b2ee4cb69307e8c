"""A gateway as people have one: a private authority, a key, a path of its own, another name."""

import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from hotfire import Endpoint, cli
from hotfire.access import Access
from hotfire.cluster import lend_secrets
from hotfire.doctor.finding import Mark
from hotfire.doctor.gateway import answers
from hotfire.errors import ProfileError
from hotfire.gateway import Gateway
from hotfire.lab.machine.pki import Authority
from hotfire.measure.history import parse_lines
from hotfire.profile import TargetProfile
from hotfire.reference import variable
from hotfire.traffic.record.files import Ended
from hotfire.traffic.runner.pods import job, lent_secret
from hotfire.traffic.runner.rated import rated_plan
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.secret import with_files_here
from tests.fake_api import FakeApi, connect, serving

KEY = "sk-9876543210-zyxwvutsrq"
NAME, ROUTE = "llm.example.org", "chat.example.org"
PATH = "/team-a/llama"


@dataclass
class Seen:
    """What came to the gateway."""

    paths: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


class Handler(BaseHTTPRequestHandler):
    """Answers whoever shows the key, at its own path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen: Seen

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.paths.add(self.path)
        self.seen.hosts.add(self.headers["host"])
        self.seen.keys.add(self.headers["authorization"] or "none")
        if self.headers["authorization"] != f"Bearer {KEY}":
            self._answer(401, json.dumps({"error": {"message": "no key"}}).encode())
        elif asked.get("stream"):
            self._answer(200, stream(asked["model"], asked["max_tokens"]), "text/event-stream")
        else:
            self._answer(200, json.dumps(whole(asked["model"])).encode())

    def _answer(self, status: int, data: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def whole(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"model": model, "choices": [choice], "usage": {"completion_tokens": 2}}


def stream(model: str, tokens: int) -> bytes:
    def event(**fields: object) -> str:
        common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model}
        return f"data: {json.dumps(common | fields)}\n\n"

    def delta(content: str, reason: str | None = None) -> str:
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
        return event(choices=[choice])

    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    parts = [delta("a ") for _ in range(tokens - 1)]
    return "".join(
        [*parts, delta("b", "length"), event(choices=[], usage=usage), "data: [DONE]\n\n"]
    ).encode()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a private authority, the gateway's pair and a client's."""
    folder, authority = tmp_path_factory.mktemp("pki"), Authority()
    (folder / "ca.pem").write_bytes(authority.certificate)
    for name in (NAME, "client"):
        pair = authority.issue(name, addresses=(name,))
        (folder / f"{name}.key").write_bytes(pair.key)
        (folder / f"{name}.pem").write_bytes(pair.certificate)
    return folder


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def port(pki: Path, seen: Seen) -> Iterator[int]:
    """The gateway's port; it talks to nobody without a certificate of its authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / f"{NAME}.pem", pki / f"{NAME}.key")
    context.load_verify_locations(pki / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    handler = type("Heard", (Handler,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def target(port: int, pki: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TEST_GATEWAY_KEY", KEY)
    path = pki / "target.yaml"
    path.write_text(yaml.safe_dump(document(port)))
    yield path
    path.unlink()


def document(port: int, **changes: object) -> dict[str, Any]:
    """Return a target file beside the files that it names."""
    gateway = {
        "url": f"https://127.0.0.1:{port}",
        "base_path": PATH,
        "bearer_token": "${env:TEST_GATEWAY_KEY}",
        "ca_file": "ca.pem",
        "client_certificate": "client.pem",
        "client_key": "client.key",
        "server_name": NAME,
        "host": ROUTE,
    }
    load = {"rate_per_second": 20, "max_tokens": 4}
    return {
        "name": "acme",
        "gateway": gateway | changes,
        "engine": {"model": "m"},
        "budgets": "lab",
        "load": load,
    }


def changed(target: Path, **changes: object) -> TargetProfile:
    read = yaml.safe_load(target.read_text())
    read["gateway"] |= changes
    target.write_text(yaml.safe_dump(read))
    return TargetProfile.read(target)


def test_a_client_is_let_in_and_the_key_is_not_recorded(target: Path, seen: Seen) -> None:
    entries: list[object] = []

    with Endpoint.of(TargetProfile.read(target), record=entries.append) as client:
        assert client.chat("Hi.").ok
        assert client.chat("Hi.", stream=True, max_tokens=4, fresh=True).ok

    assert seen.paths == {f"{PATH}/v1/chat/completions"}
    assert seen.hosts == {ROUTE}
    assert seen.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"server_name": "other.example.org"}, "CERTIFICATE_VERIFY_FAILED"),
        ({"client_certificate": None, "client_key": None}, ""),
    ],
)
def test_without_one_of_them_nobody_answers(
    changes: dict[str, object], why: str, target: Path
) -> None:
    with Endpoint.of(changed(target, **changes)) as client:
        reply = client.chat("Hi.")

    assert reply.status is None
    assert why in str(reply.error)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"ca_file": None}, "set gateway.ca_file to its authority's PEM"),
        ({"server_name": "other.example.org"}, "set gateway.server_name"),
        ({"client_certificate": None, "client_key": None}, "set gateway.client_certificate"),
        ({"bearer_token": None}, "set gateway.bearer_token"),
    ],
)
def test_the_doctor_names_what_is_missing(
    changes: dict[str, object], remedy: str, target: Path
) -> None:
    found = answers(changed(target, **changes))

    assert found.mark is Mark.IMPOSSIBLE
    assert remedy in found.remedy


@pytest.mark.parametrize("client", ["reactor", "geventhttpclient"])
def test_a_load_is_let_in_and_the_key_is_nowhere_in_its_run(
    client: str, target: Path, seen: Seen, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    options = ["--target", str(target), "--duration", "1", "--client", client]
    cli.run(["load", *options, "--run-dir", str(run)])

    output = capfd.readouterr()
    written = [path for path in run.rglob("*") if path.is_file()]
    ended = Ended.model_validate_json((run / "history/load.end.json").read_bytes())
    assert ended.received > 5
    rows = parse_lines((run / "history/load.jsonl").read_text())
    assert [row for row in rows if not row.complete] == []
    assert (seen.hosts, seen.keys) == ({ROUTE}, {f"Bearer {KEY}"})
    assert seen.paths == {f"{PATH}/v1/chat/completions"}
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in output.out + output.err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bearer_token": "${env:NO_SUCH}"}, "gateway: ${env:NO_SUCH} cannot be read: no such"),
        ({"bearer_token": "${file:/no/such}"}, "gateway: ${file:/no/such} cannot be read"),
        ({"bearer_token": KEY}, "gateway.bearer_token: the secret itself has no place here"),
        ({"headers": {"X-Api-Key": KEY}}, "gateway.headers: the value of X-Api-Key would be"),
        ({"headers": {"Authorization": "hunter2"}}, "the value of Authorization would be a secret"),
        ({"ca_file": "none.pem"}, "ca_file: "),
        ({"ca_file": "client.key"}, "holds no certificates of authorities"),
        ({"client_key": "none.key"}, "client_key: "),
        ({"client_certificate": None}, "client_key needs client_certificate"),
        ({"base_path": "/a/v1"}, "gateway.base_path: drop /v1 at its end"),
        ({"base_path": "a b"}, "gateway.base_path: expected a path"),
    ],
)
def test_what_is_missing_is_one_line_before_anything_is_recorded(
    changes: dict[str, object],
    told: str,
    target: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read = yaml.safe_load(target.read_text())
    read["gateway"] |= changes
    target.write_text(yaml.safe_dump(read))

    code = cli.run(["load", "--target", str(target), "--run-dir", str(tmp_path / "run")])

    error = capsys.readouterr().err
    assert code == 254
    assert told in error
    assert error.count("\n") == 1
    assert KEY not in error
    assert not (tmp_path / "run").exists()


def test_another_gateway_than_the_target_s_is_shown_nothing_of_it(target: Path) -> None:
    plan = rated_plan(TargetProfile.read(target), url="http://elsewhere", headers={"X-Team": "a"})

    assert plan.headers == {"x-team": "a"}
    assert (plan.base_path, plan.ca_file, plan.client_key) == ("", "", "")


def test_headers_of_a_case_come_to_those_of_the_gateway(target: Path) -> None:
    plan = rated_plan(TargetProfile.read(target), headers={"X-Backend": "one", "Host": "other"})

    assert plan.headers == {
        "authorization": "Bearer ${env:TEST_GATEWAY_KEY}",
        "host": "other",
        "x-backend": "one",
    }


def test_pods_are_lent_what_the_gateway_wants_to_see(target: Path) -> None:
    read = yaml.safe_load(target.read_text())
    read["load"] |= {"workers": 2, "pods": {"master_host": "10.0.0.1"}}
    target.write_text(yaml.safe_dump(read))
    profile = TargetProfile.read(target)
    plan, name = rated_plan(profile), variable("env:TEST_GATEWAY_KEY")
    assert profile.load.pods is not None

    pod = job(plan, profile, profile.load.pods, run_id="r")["spec"]["template"]["spec"]
    secret = lent_secret(plan, profile, run_id="r")["stringData"]

    (container,) = pod["containers"]
    environment = {one["name"]: one for one in container["env"]}
    assert secret[name] == KEY
    assert environment[name]["valueFrom"]["secretKeyRef"]["key"] == name
    assert environment["HOTFIRE_LOAD_FILES"]["value"] == "/run/hotfire"
    assert {item["key"] for item in pod["volumes"][0]["secret"]["items"]} <= set(secret)
    assert container["volumeMounts"][0]["mountPath"] == "/run/hotfire"
    assert KEY not in json.dumps(pod)


def test_a_worker_has_the_files_where_they_were_lent(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = rated_plan(TargetProfile.read(target))
    monkeypatch.setenv("HOTFIRE_LOAD_FILES", "/run/hotfire")

    assert with_files_here(plan).tls_files == {
        name: f"/run/hotfire/{name}" for name in ("ca_file", "client_certificate", "client_key")
    }
    assert with_files_here(LoadPlan(url="http://h", model="m")).ca_file == ""


@pytest.fixture
def nothing_lent() -> Iterator[None]:
    """What a test lends goes with it."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


def secret_api() -> FakeApi:
    api = FakeApi()
    metadata = {"name": "llm", "namespace": "serving"}
    # "from-the-cluster", as Kubernetes keeps it.
    data = {"token": "ZnJvbS10aGUtY2x1c3Rlcg=="}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    return api


def test_whoever_shows_something_else_shows_no_credential_of_the_gateway() -> None:
    said = {"X-Team": "platform", "X-Api-Key": "${env:KEY}"}
    gateway = Gateway(url="http://g", headers=said, bearer_token="${env:TOKEN}", host="h")

    assert gateway.shown_by({}).shown_headers == {"x-team": "platform", "host": "h"}
    assert gateway.shown_by({"X-Api-Key": "other"}).shown_headers == {
        "x-team": "platform",
        "x-api-key": "other",
        "host": "h",
    }


def referring(name: str) -> Gateway:
    return Gateway.model_validate({"url": "http://g", "bearer_token": f"${{secret:{name}}}"})


@pytest.mark.usefixtures("nothing_lent")
def test_a_secret_of_the_cluster_is_read_once_and_lent() -> None:
    api, gateway = secret_api(), referring("serving/llm/token")

    with serving(api) as address:
        for _ in range(2):
            lend_secrets(gateway, connect(address))

    assert Access.to(gateway).headers == {"authorization": "Bearer from-the-cluster"}
    assert api.requests.count("GET secrets") == 1


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        ("serving/none/token", 0, "there is no Secret none in namespace serving"),
        ("serving/llm/other", 0, "has no key other; it has token"),
        ("serving/llm/token", 403, "grant get on Secret llm in serving"),
    ],
)
def test_a_secret_of_the_cluster_that_cannot_be_read_is_told(
    name: str, status: int, why: str
) -> None:
    api = secret_api()
    if status:
        api.refuse["GET secrets"] = status

    with serving(api) as address, pytest.raises(ProfileError, match="cannot be read") as refused:
        lend_secrets(referring(name), connect(address))

    assert why in str(refused.value)
