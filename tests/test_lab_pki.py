"""The lab's certificates convince TLS itself, its kubeconfigs the Kubernetes client."""

import json
import shutil
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from kubernetes import config as kubernetes_config

from hotfire.lab.machine import credentials, pki
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import Topology

TOPOLOGY = Topology(nodes=2, control_planes=3)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("lab"))
    credentials.write(TOPOLOGY, state, api_port=16443)
    return state


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def words(name: x509.Name, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(each.value) for each in name.get_attributes_for_oid(kind)]


def shake_hands(state: State, *, server: Path, client: Path, host: str) -> None:
    """Let a TLS server and a TLS client with these pairs meet in memory; both check the other."""
    authority = str(state.pki / "cp1" / "ca.crt")
    near = ssl.create_default_context(cafile=authority)
    near.load_cert_chain(client.with_suffix(".crt"), client.with_suffix(".key"))
    far = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    far.verify_mode = ssl.CERT_REQUIRED
    far.load_cert_chain(server.with_suffix(".crt"), server.with_suffix(".key"))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [near.wrap_bio(down, up, server_hostname=host), far.wrap_bio(up, down, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


@pytest.mark.parametrize("member", ["cp1", "cp3"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.100.1", "10.0.0.103", "10.96.0.1", "kubernetes.default.svc"]
)
def test_operator_and_api_servers_trust_each_other(state: State, host: str, member: str) -> None:
    server, client = state.pki / member / "api.crt", state.pki / "admin.crt"

    shake_hands(state, server=server, client=client, host=host)


def test_api_server_is_not_trusted_under_another_name(state: State) -> None:
    server, client = state.pki / "cp1" / "api.crt", state.pki / "admin.crt"

    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(state, server=server, client=client, host="10.0.0.99")


def test_another_labs_operator_is_refused(state: State, tmp_path: Path) -> None:
    stranger = pki.Authority().issue("lab-admin", groups=("system:masters",))
    pki.write_pair(tmp_path, "stranger", stranger)
    server = state.pki / "cp1" / "api.crt"

    with pytest.raises(ssl.SSLError):
        shake_hands(state, server=server, client=tmp_path / "stranger.crt", host="127.0.0.1")


def test_every_certificate_is_issued_by_the_one_authority(state: State) -> None:
    authority = certificate(state.pki / "cp1" / "ca.crt")
    issued = [path for path in state.pki.rglob("*.crt") if path.name != "ca.crt"]

    wanted = {"admin", "api", "api-client", "n1", "n2", "proxy"}
    assert {path.stem for path in issued} == wanted
    for path in issued:
        certificate(path).verify_directly_issued_by(authority)


def test_members_sign_tokens_with_one_key(state: State) -> None:
    keys = {(state.pki / f"cp{n}" / "service-account.key").read_bytes() for n in (1, 2, 3)}

    assert len(keys) == 1


def test_kubelet_proves_the_identity_that_node_authorisation_asks_for(state: State) -> None:
    subject = certificate(state.pki / "n2" / "n2.crt").subject

    assert words(subject, NameOID.COMMON_NAME) == ["system:node:n2"]
    assert words(subject, NameOID.ORGANIZATION_NAME) == ["system:nodes"]


def test_kubelet_serves_under_its_name_and_address(state: State) -> None:
    extensions = certificate(state.pki / "n2" / "n2.crt").extensions

    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["n2"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.2")]


@pytest.mark.parametrize(
    ("path", "server"),
    [
        ("kubeconfig", "https://127.0.0.1:16443"),
        ("pki/cp1/scheduler.conf", "https://10.0.0.101:6443"),
        ("pki/cp2/controller-manager.conf", "https://10.0.0.102:6443"),
        ("pki/n1/n1.conf", "https://10.0.100.1:6443"),
        ("pki/n1/proxy.conf", "https://10.0.100.1:6443"),
    ],
)
def test_kubernetes_client_loads_every_kubeconfig(state: State, path: str, server: str) -> None:
    client = kubernetes_config.new_client_from_config(str(state.home / path))

    assert client.configuration.host == server
    assert Path(client.configuration.cert_file).read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_operators_kubeconfig_is_for_the_owner_only(state: State) -> None:
    assert state.kubeconfig.stat().st_mode & 0o077 == 0


def test_kubeconfig_needs_no_other_file() -> None:
    authority = pki.Authority()
    text = pki.kubeconfig("https://x", authority.certificate, authority.issue("me"))

    user = json.loads(text)["users"][0]["user"]

    assert set(user) == {"client-certificate-data", "client-key-data"}


def test_authority_read_back_signs_for_workers_that_join_later(
    state: State, tmp_path: Path
) -> None:
    late = Topology(nodes=2, pool_nodes=(7,)).machine("n7")
    joined = State(tmp_path)
    shutil.copytree(state.pki, joined.pki)

    credentials.write_worker(joined, pki.read_authority(joined.pki / "cp1"), late)

    server, client = joined.pki / "n7" / "n7.crt", state.pki / "n1" / "n1.crt"
    shake_hands(joined, server=server, client=client, host=late.address)
