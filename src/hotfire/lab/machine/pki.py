"""Keys, certificates and kubeconfigs of the lab; made at each start, worthless elsewhere."""

import base64
import datetime
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
_LIFETIME = datetime.timedelta(days=365)
_SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its certificate, both as PEM."""

    key: bytes
    certificate: bytes


class Authority:
    """The lab's one certificate authority."""

    def __init__(self, pair: KeyPair | None = None) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hotfire-lab")])
        if pair is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self.certificate = self._sign_itself()
        else:
            key = serialization.load_pem_private_key(pair.key, password=None)
            self._key = cast("ec.EllipticCurvePrivateKey", key)
            self.certificate = pair.certificate

    def _sign_itself(self) -> bytes:
        builder = _builder(self._name, self._name, self._key)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        builder = builder.add_extension(_SIGNS, critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
        )
        return _pem(builder.sign(self._key, hashes.SHA256()))

    @property
    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        """What strict verifiers, Python's since 3.13 among them, ask of every certificate."""
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def issue(
        self, common_name: str, *, groups: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
    ) -> KeyPair:
        """Return a pair for client and server use; addresses may be DNS names or IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = _builder(x509.Name(attributes), self._name, key)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(self._key_identifier, critical=False)
        if addresses:
            names = x509.SubjectAlternativeName([_alternative(each) for each in addresses])
            builder = builder.add_extension(names, critical=False)
        return KeyPair(
            key=_key_pem(key), certificate=_pem(builder.sign(self._key, hashes.SHA256()))
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def kubeconfig(server: str, authority: bytes, pair: KeyPair) -> str:
    """Return a kubeconfig with everything inline, so that it can be copied anywhere."""

    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "hotfire-lab",
                "cluster": {"server": server, "certificate-authority-data": b64(authority)},
            }
        ],
        "users": [
            {
                "name": "hotfire-lab",
                "user": {
                    "client-certificate-data": b64(pair.certificate),
                    "client-key-data": b64(pair.key),
                },
            }
        ],
        "contexts": [
            {"name": "hotfire-lab", "context": {"cluster": "hotfire-lab", "user": "hotfire-lab"}}
        ],
        "current-context": "hotfire-lab",
    }
    return json.dumps(document, indent=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody who talks to the API server: the common name and the groups it proves."""

    file: str
    common_name: str
    groups: tuple[str, ...] = ()


IDENTITIES = (
    Identity(file="admin", common_name="lab-admin", groups=("system:masters",)),
    Identity(file="controller-manager", common_name="system:kube-controller-manager"),
    Identity(file="scheduler", common_name="system:kube-scheduler"),
)


def write_control_plane(directory: Path, *, addresses: Iterable[str]) -> Authority:
    """Write what all members share below a directory and return the authority.

    ``addresses`` are those under which their API servers are asked.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    authority = Authority()
    (directory / "ca.crt").write_bytes(authority.certificate)
    server = authority.issue("kube-apiserver", addresses=(*_SERVICE_NAMES, *addresses, "127.0.0.1"))
    client = authority.issue("apiserver-kubelet", groups=("system:masters",))
    signer = ec.generate_private_key(ec.SECP256R1())
    _write(directory / "api", server)
    _write(directory / "api-client", client)
    (directory / "service-account.key").write_bytes(_key_pem(signer))
    (directory / "service-account.pub").write_bytes(
        signer.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (directory / "ca.key").write_bytes(_key_pem(authority._key))
    return authority


def read_authority(directory: Path) -> Authority:
    """Return the authority whose keys `write_control_plane` left in a directory."""
    key, certificate = (directory / "ca.key").read_bytes(), (directory / "ca.crt").read_bytes()
    return Authority(KeyPair(key=key, certificate=certificate))


def _write(stem: Path, pair: KeyPair) -> None:
    stem.with_suffix(".crt").write_bytes(pair.certificate)
    stem.with_suffix(".key").write_bytes(pair.key)


def write_pair(directory: Path, name: str, pair: KeyPair) -> None:
    """Write NAME.crt and NAME.key."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / name, pair)
