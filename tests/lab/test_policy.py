"""What a platform forbids, the lab forbids: traffic, pods, and reading Secrets from the store."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hotfire.errors import LabError
from hotfire.lab.cluster.kube import Kubectl, condition
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until
from tests.namespaces import await_account

pytestmark = pytest.mark.lab

RED, BLUE = "policy-red", "policy-blue"
IMAGE = "docker.io/library/python:3.11-slim"
SERVER = (RED, "server")
CLIENTS = ((RED, "friend"), (RED, "stranger"), (BLUE, "foreign"))
EVERYBODY = {name for _, name in CLIENTS}
# server and friend share a node; the others come over the fabric.
NODES = {"server": "n1", "friend": "n1", "stranger": "n2", "foreign": "n3"}
SERVE = "for port in 8080 9090; do python3 -m http.server $port & done; wait"
# Far above the 0.1 s a rule takes: each look costs a second where a packet is dropped, and
# several on a busy machine.
WITHIN_SECONDS = 40
CONNECTED = "connected"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.7)"


@pytest.fixture(scope="module")
def kubectl(lab: Lab) -> Iterator[Kubectl]:
    """kubectl, with a server and three clients of it in two namespaces."""
    found = lab.kubectl()
    found.apply_text(_documents(*(_namespace(name) for name in (RED, BLUE))))
    for namespace in (RED, BLUE):
        await_account(found, namespace)
    found.apply_text(_documents(*(_pod(*each) for each in (SERVER, *CLIENTS)), _service()))
    for namespace in (RED, BLUE):
        ready = ("wait", f"--namespace={namespace}", "--for=condition=Ready", "pod", "--all")
        found.run(*ready, "--timeout=90s", within_seconds=100)
    yield found
    found.run("delete", "namespace", RED, BLUE, "--wait=false")


@pytest.fixture(autouse=True)
def no_policies(kubectl: Kubectl) -> Iterator[None]:
    yield
    for namespace in (RED, BLUE):
        kubectl.run("delete", "networkpolicies", "--all", f"--namespace={namespace}")


def _documents(*documents: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})


def _namespace(name: str, level: str = "privileged") -> dict[str, Any]:
    labels = {"team": name, "pod-security.kubernetes.io/enforce": level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(namespace: str, name: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"]}
    if name == "server":
        container |= {
            "command": ["sh", "-c", SERVE],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {
                "httpGet": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10,
            },
        }  # fmt: skip
    spec = {
        "containers": [container],
        "nodeSelector": {"kubernetes.io/hostname": NODES[name]},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
    }
    metadata = {"namespace": namespace, "name": name, "labels": {"role": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _service() -> dict[str, Any]:
    spec = {"selector": {"role": "server"}, "ports": [{"port": 80, "targetPort": "http"}]}
    metadata = {"namespace": RED, "name": "server"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _policy(**spec: object) -> str:
    metadata = {"namespace": RED, "name": "tested"}
    document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {"podSelector": {"matchLabels": {"role": "server"}}} | spec,
    }
    return json.dumps(document)


def _ingress(peer: dict[str, Any] | None, *ports: dict[str, Any]) -> str:
    rule = {"from": [peer] if peer else [], "ports": list(ports)}
    return _policy(policyTypes=["Ingress"], ingress=[rule])


def _get(kubectl: Kubectl, kind: str, namespace: str, name: str) -> dict[str, Any]:
    (found,) = kubectl.items(kind, name, f"--namespace={namespace}")
    return found


def _address(kubectl: Kubectl, name: str) -> str:
    namespace = BLUE if name == "foreign" else RED
    return str(_get(kubectl, "pod", namespace, name)["status"]["podIP"])


def _reaching(kubectl: Kubectl, address: str, port: int) -> set[str]:
    """Return the clients that get a connection."""

    def reaches(client: tuple[str, str]) -> bool:
        found = until(
            lambda: _tried(kubectl, client, address, port),
            within_seconds=WITHIN_SECONDS,
            what=f"{client} trying",
        )
        return found == CONNECTED

    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        came = pool.map(reaches, CLIENTS)
        return {name for (_, name), yes in zip(CLIENTS, came, strict=True) if yes}


def _tried(kubectl: Kubectl, client: tuple[str, str], address: str, port: int) -> str:
    """Return what came of a client's try; empty: the API server does not get to its kubelet."""
    namespace, name = client
    words = ("exec", f"--namespace={namespace}", name, "--", "python3", "-c", CONNECT)
    try:
        kubectl.run(*words, address, str(port))
    except LabError as error:
        if "error dialing backend" in str(error):
            return ""
        if "TimeoutError: timed out" in str(error):
            return "timed out"
        raise
    return CONNECTED


def _wait_reaching(
    kubectl: Kubectl, wanted: set[str], port: int = 8080, *, address: str | None = None
) -> None:
    """Wait until those clients get a connection, of the server without an address."""
    to = address or _address(kubectl, "server")
    until(
        lambda: _reaching(kubectl, to, port) == wanted,
        within_seconds=WITHIN_SECONDS,
        what=f"{wanted or 'nobody'} reaching {to}:{port}",
    )


def test_without_a_policy_everybody_reaches_everything(kubectl: Kubectl) -> None:
    _wait_reaching(kubectl, EVERYBODY, 8080)
    _wait_reaching(kubectl, EVERYBODY, 9090)


def test_denied_pod_is_reached_by_its_kubelet_only_until_the_policy_goes(
    lab: Lab, kubectl: Kubectl
) -> None:
    kubectl.apply_text(_policy(policyTypes=["Ingress"]))
    _wait_reaching(kubectl, set())

    answered = _probes(kubectl)
    until(
        lambda: _probes(kubectl) > answered + 1,
        within_seconds=WITHIN_SECONDS,
        what="answers to the kubelet",
    )
    assert condition(_get(kubectl, "pod", RED, "server"), "Ready")
    assert _denied_packets(lab) >= len(CLIENTS)
    kubectl.run("delete", "networkpolicy", "tested", f"--namespace={RED}")
    _wait_reaching(kubectl, EVERYBODY)


def _probes(kubectl: Kubectl) -> int:
    """Return how many of its kubelet's questions the server has answered."""
    said = kubectl.run("logs", f"--namespace={RED}", "server")
    return said.count('"GET / HTTP/1.1" 200')


def _denied_packets(lab: Lab) -> int:
    name = f"denied/ingress/{RED}/tested"
    listed = lab.rack.run("n1", ["nft", "list", "counter", "inet", "hotfire_policy", name])
    return int(listed.split("packets")[1].split()[0])


@pytest.mark.parametrize(
    ("peer", "wanted"),
    [
        ({"podSelector": {"matchLabels": {"role": "friend"}}}, {"friend"}),
        ({"podSelector": {}}, {"friend", "stranger"}),
        ({"namespaceSelector": {"matchLabels": {"team": BLUE}}}, {"foreign"}),
        (
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"role": "stranger"}}},
            {"stranger"},
        ),
    ],
    ids=["pod", "own-namespace", "namespace", "both"],
)
def test_only_the_peer_of_an_ingress_rule_comes_in(
    kubectl: Kubectl, peer: dict[str, Any], wanted: set[str]
) -> None:
    kubectl.apply_text(_ingress(peer))

    _wait_reaching(kubectl, wanted)


def test_address_block_without_its_exceptions_comes_in(kubectl: Kubectl) -> None:
    excepted = [f"{_address(kubectl, name)}/32" for name in ("friend", "foreign")]
    kubectl.apply_text(_ingress({"ipBlock": {"cidr": "10.244.0.0/16", "except": excepted}}))

    _wait_reaching(kubectl, {"stranger"})


@pytest.mark.parametrize("port", ["http", 8080])
def test_only_the_port_of_a_rule_is_open_by_number_and_by_name(
    kubectl: Kubectl, port: int | str
) -> None:
    kubectl.apply_text(_ingress(None, {"port": port}))

    _wait_reaching(kubectl, set(), 9090)
    _wait_reaching(kubectl, EVERYBODY, 8080)


def test_rules_hold_for_the_pods_behind_a_service(kubectl: Kubectl) -> None:
    kubectl.apply_text(_ingress({"podSelector": {"matchLabels": {"role": "friend"}}}))
    _wait_reaching(kubectl, {"friend"})

    service = _get(kubectl, "service", RED, "server")["spec"]["clusterIP"]
    _wait_reaching(kubectl, {"friend"}, 80, address=service)


def test_egress_rule_keeps_the_selected_pod_from_going_out(kubectl: Kubectl) -> None:
    kubectl.apply_text(
        _policy(
            podSelector={"matchLabels": {"role": "stranger"}},
            policyTypes=["Egress"],
            egress=[{"to": [{"podSelector": {}}], "ports": [{"port": 8080}]}],
        )
    )

    _wait_reaching(kubectl, EVERYBODY - {"stranger"}, 9090)
    _wait_reaching(kubectl, EVERYBODY, 8080)


def test_new_pod_is_governed_from_its_first_packet_on(kubectl: Kubectl) -> None:
    selector = {"matchLabels": {"role": "newcomer"}}
    kubectl.apply_text(_policy(podSelector=selector, policyTypes=["Egress"]))
    pod = _pod(RED, "friend")
    pod["metadata"] = {"namespace": RED, "name": "newcomer", "labels": {"role": "newcomer"}}
    argv = ["python3", "-c", CONNECT, _address(kubectl, "server"), "8080"]
    pod["spec"] |= {"restartPolicy": "Never"}
    pod["spec"]["containers"][0]["command"] = argv
    kubectl.apply_text(json.dumps(pod))

    over = "--for=jsonpath={.status.phase}=Failed"
    kubectl.run("wait", f"--namespace={RED}", over, "pod/newcomer", "--timeout=50s")
    assert "timed out" in kubectl.run("logs", f"--namespace={RED}", "newcomer")


def test_rules_stay_while_the_agent_and_the_api_are_away(lab: Lab, kubectl: Kubectl) -> None:
    kubectl.apply_text(_policy(policyTypes=["Ingress"]))
    _wait_reaching(kubectl, set())
    address = _address(kubectl, "server")

    lab.rack.hold("cp1", "kube-apiserver")
    try:
        until(lambda: not lab.api_ready(), within_seconds=30, what="the API server gone")
        lab.rack.run("n1", ["pkill", "-9", "-f", "python3 -S -m network_policy"])
        rules = ["nft", "list", "map", "inet", "hotfire_policy", "to_pods"]
        assert address in lab.rack.run("n1", rules)
    finally:
        lab.rack.release("cp1", "kube-apiserver")
    until(lab.api_ready, within_seconds=60, what="the API server back")

    # At once, without waiting: it must not have been open for a moment.
    assert _reaching(kubectl, address, 8080) == set()
    kubectl.run("delete", "networkpolicy", "tested", f"--namespace={RED}")
    _wait_reaching(kubectl, EVERYBODY)


def test_secret_is_encrypted_in_the_store_and_its_making_is_audited(
    lab: Lab, kubectl: Kubectl
) -> None:
    value = "correct-horse-battery"
    kubectl.run("create", "secret", "generic", "quiet", f"--namespace={RED}", f"--from-literal=word={value}")  # fmt: skip  # noqa: E501

    stored = _stored(lab, f"/registry/secrets/{RED}/quiet")
    assert stored.startswith(b"k8s:enc:secretbox:v1:lab:")
    assert value.encode() not in stored
    audit = (lab.rack.var("cp1") / "log" / "kubernetes" / "audit.log").read_text()
    (entry,) = (json.loads(line) for line in audit.splitlines() if '"name":"quiet"' in line)
    assert (entry["verb"], entry["user"]["username"]) == ("create", "lab-admin")
    assert value not in audit
    assert base64.b64encode(value.encode()).decode() not in audit


def _stored(lab: Lab, key: str) -> bytes:
    """Return a key's value as etcd has it."""
    question = json.dumps({"key": base64.b64encode(key.encode()).decode()})
    url = f"http://{Topology().members[0].address}:2379/v3/kv/range"
    argv = ["busybox", "wget", "-q", "-O", "-", f"--post-data={question}", url]
    answer = json.loads(lab.rack.run("cp1", argv))
    return base64.b64decode(answer["kvs"][0]["value"])


def _guarded(namespace: str, **security: object) -> str:
    pod = _pod(namespace, "friend")
    pod["spec"]["containers"][0]["securityContext"] = security
    return json.dumps(pod)


CONFINED: dict[str, object] = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.mark.parametrize(
    ("level", "security", "refused"),
    [
        ("baseline", {"privileged": True}, True),
        ("baseline", {}, False),
        ("restricted", {}, True),
        ("restricted", CONFINED, False),
    ],
)
def test_namespace_takes_only_pods_of_its_security_level(
    kubectl: Kubectl, level: str, security: dict[str, object], refused: bool
) -> None:
    # A name of its own for each: in a namespace that is going away everything is refused.
    namespace = f"policy-{level}-{'refuses' if refused else 'takes'}"
    kubectl.apply_text(json.dumps(_namespace(namespace, level)))
    try:
        await_account(kubectl, namespace)
        said = _refusal(kubectl, _guarded(namespace, **security))
    finally:
        kubectl.run("delete", "namespace", namespace, "--wait=false")

    if refused:
        assert f'violates PodSecurity "{level}:' in said
    else:
        assert said == ""


def _refusal(kubectl: Kubectl, pod: str) -> str:
    """Return what the API says against a pod; empty: it would take it."""
    try:
        kubectl.run("create", "--dry-run=server", "--filename=-", stdin=pod)
    except LabError as error:
        return str(error)
    return ""
