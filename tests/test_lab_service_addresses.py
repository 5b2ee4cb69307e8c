"""Services of type LoadBalancer get addresses of the pool, and nodes announce those they serve."""

import http.server
import itertools
import json
import ssl
import threading
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from hotfire.lab.machine import pki
from hotfire.lab.programs.network_policy.watch import Api
from hotfire.lab.programs.service_addresses import announcer, controller
from hotfire.lab.programs.service_addresses.mirror import Mirror
from hotfire.lab.programs.service_addresses.services import Grant, announced, assign

Document = dict[str, Any]
POOL = IPv4Network("10.0.200.0/29")
_VERSIONS = itertools.count(1)


def service(name: str, *addresses: str, age: int = 0, **spec: str) -> Document:
    """Return a Service that was made in the order of ``age``."""
    return {
        "metadata": {
            "namespace": "red",
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{age:02}Z",
            "resourceVersion": str(next(_VERSIONS)),
        },
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": each} for each in addresses]}},
    }


def endpoints(name: str, *nodes: str, **conditions: bool) -> Document:
    return {
        "metadata": {
            "namespace": "red",
            "name": f"{name}-abc",
            "uid": name,
            "labels": {"kubernetes.io/service-name": name},
        },
        "endpoints": [{"nodeName": node, "conditions": conditions} for node in nodes],
    }


def granted(*services: Document) -> dict[str, str]:
    return {each.service["metadata"]["name"]: each.address for each in assign(services, POOL)}


def test_oldest_service_gets_the_lowest_free_address() -> None:
    young, old, first = service("b", age=2), service("c", age=1), service("a", "10.0.200.1")

    assert granted(young, old, first) == {"c": "10.0.200.2", "b": "10.0.200.3"}


def test_service_that_has_an_address_or_is_none_of_ours_gets_none() -> None:
    others = [service("a", "10.0.200.4"), service("b", loadBalancerClass="example.org/other")]

    assert granted(*others, service("c", type="NodePort"), service("d", type="ClusterIP")) == {}


def test_address_that_is_asked_for_is_given_if_it_is_free() -> None:
    free = service("a", loadBalancerIP="10.0.200.5")
    taken = service("b", age=1, loadBalancerIP="10.0.200.5")
    foreign = service("c", age=2, loadBalancerIP="192.0.2.1")
    nonsense = service("d", age=3, loadBalancerIP="one of yours")

    assert granted(free, taken, foreign, nonsense) == {"a": "10.0.200.5"}


def test_used_up_pool_leaves_the_youngest_without() -> None:
    found = granted(*(service(f"s{n}", age=n) for n in range(8)))

    assert sorted(found) == [f"s{n}" for n in range(6)]
    assert len(set(found.values())) == 6


def test_every_node_announces_what_somebody_serves() -> None:
    services, slices = [service("a", "10.0.200.1")], [endpoints("a", "n2")]

    assert announced("n1", services, slices, POOL) == ["10.0.200.1"]


def test_only_nodes_with_a_pod_announce_what_is_to_be_served_locally() -> None:
    services = [service("a", "10.0.200.1", externalTrafficPolicy="Local")]
    slices = [endpoints("a", "n2")]

    assert announced("n1", services, slices, POOL) == []
    assert announced("n2", services, slices, POOL) == ["10.0.200.1"]


@pytest.mark.parametrize(
    ("conditions", "serves"),
    [
        ({}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, True),
        ({"ready": False, "serving": False, "terminating": True}, False),
    ],
)
def test_pod_serves_until_it_cannot(conditions: dict[str, bool], serves: bool) -> None:
    services, slices = [service("a", "10.0.200.1")], [endpoints("a", "n1", **conditions)]

    assert bool(announced("n1", services, slices, POOL)) is serves


def test_nobody_announces_what_nobody_serves_or_others_gave() -> None:
    services = [service("a", "10.0.200.1"), service("b", "192.0.2.7"), service("c")]
    slices = [endpoints("b", "n1"), endpoints("c", "n1")]

    assert announced("n1", services, slices, POOL) == []


def test_announcements_are_in_the_order_of_their_numbers() -> None:
    pool = IPv4Network("10.0.200.0/24")
    services = [service("a", "10.0.200.10"), service("b", "10.0.200.9")]
    slices = [endpoints("a", "n1"), endpoints("b", "n1")]

    assert announced("n1", services, slices, pool) == ["10.0.200.9", "10.0.200.10"]


def test_what_was_written_is_not_undone_by_older_news() -> None:
    mirror, old, new = Mirror(Event()), service("a"), service("a", "10.0.200.1")
    mirror.replace([old])

    mirror.change("MODIFIED", new)
    mirror.change("MODIFIED", old)

    assert mirror.objects() == [new]
    mirror.change("DELETED", new)
    assert mirror.objects() == []


@pytest.fixture
def bird(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that BIRD includes; `birdc` does as its file `then` says."""
    (tmp_path / "birdc").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n. {tmp_path}/then\n'
    )
    (tmp_path / "birdc").chmod(0o755)
    (tmp_path / "balanced.conf").write_text(announcer.bird_config([]))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "balanced.conf"


@pytest.mark.parametrize("said", ["Reconfigured", "Reconfiguration in progress"])
def test_bird_reads_the_list_that_was_written(bird: Path, said: str) -> None:
    (bird.parent / "then").write_text(f"cat {bird} > {bird}.read; echo {said}")
    wanted = announcer.bird_config(["10.0.200.1"])

    assert announcer.tell(wanted, bird, "bird.ctl") is True

    assert Path(f"{bird}.read").read_text() == wanted
    assert (bird.parent / "asked").read_text() == "-s bird.ctl configure\n"


@pytest.mark.parametrize("then", ["echo Unable to connect; exit 1", "echo syntax error"])
def test_bird_that_has_not_taken_the_list_is_to_be_asked_again(bird: Path, then: str) -> None:
    (bird.parent / "then").write_text(then)

    assert announcer.tell(announcer.bird_config([]), bird, "bird.ctl") is False


class Server(http.server.ThreadingHTTPServer):
    """An API server that answers every change with the same Service and one status."""

    status = 200

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, Document, str | None]] = []
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=str(directory / "ca.crt")
        )
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(directory / "api.crt", directory / "api.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        shown: Any = self.connection.getpeercert()
        name = shown["subject"][0][0][1] if shown else self.headers["Authorization"]
        self.server.asked.append((self.path, body, name))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(service("a", "10.0.200.1")).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    authority = pki.Authority()
    pki.write_pair(tmp_path, "api", authority.issue("api", addresses=("127.0.0.1",)))
    pki.write_pair(tmp_path, "proxy", authority.issue("system:kube-proxy"))
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "token").write_text("mine")
    found = Server(tmp_path)
    threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize(("client", "proof"), [("", "Bearer mine"), ("proxy", "system:kube-proxy")])
def test_address_is_written_into_the_status_of_that_version_of_the_service(
    server: Server, tmp_path: Path, client: str, proof: str
) -> None:
    api, mirror = Api("127.0.0.1", server.server_address[1], tmp_path, client), Mirror(Event())
    found = service("a")

    assert controller.give(api, mirror, Grant(found, "10.0.200.1")) is True

    [(path, body, proven)] = server.asked
    assert path == "/api/v1/namespaces/red/services/a/status"
    assert body["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    assert body["status"]["loadBalancer"]["ingress"] == [{"ip": "10.0.200.1", "ipMode": "VIP"}]
    assert proven == proof
    assert assign(mirror.objects(), POOL) == []


@pytest.mark.parametrize(("status", "settled"), [(409, True), (404, True), (403, False)])
def test_refused_address_is_tried_again_unless_the_service_is_another_one(
    server: Server, tmp_path: Path, status: int, settled: bool
) -> None:
    server.status = status
    api, mirror = Api("127.0.0.1", server.server_address[1], tmp_path), Mirror(Event())

    assert controller.give(api, mirror, Grant(service("a"), "10.0.200.1")) is settled
    assert mirror.objects() == []


def test_api_server_that_is_gone_is_tried_again(tmp_path: Path, server: Server) -> None:
    api = Api("127.0.0.1", 1, tmp_path)

    assert controller.give(api, Mirror(Event()), Grant(service("a"), "10.0.200.1")) is False
