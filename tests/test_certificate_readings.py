"""Which servers show a certificate, until when it holds, and what is near its end."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fixtures.certificates import Server, Shown, addresses, left_seconds, listeners
from suites.cluster.test_certificates_are_renewed_before_they_end import ending

SERVER = Server(what="webhook a", host="10.0.0.1", port=443)


def certificate(left: timedelta) -> str:
    """Return a certificate as another library makes it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    # As long as RSA authorities' are: its length takes several bytes.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a" * 60)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1 << 100)
    builder = builder.not_valid_before(now - timedelta(days=900)).not_valid_after(now + left)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("days", [-400, -1, 1, 365, 36_500])
def test_time_that_is_left_is_what_another_library_wrote(days: int) -> None:
    found = left_seconds(certificate(timedelta(days=days)))

    assert found == pytest.approx(days * 86_400, abs=30)


def test_certificate_below_the_floor_is_named_and_one_above_is_not() -> None:
    shown = [
        Shown(server=SERVER, left_seconds=86_400),
        Shown(server=SERVER, left_seconds=-86_400),
        Shown(server=SERVER, left_seconds=864_000),
        Shown(server=SERVER, left_seconds=None, error="refused"),
    ]

    assert ending(shown, 604_800) == [
        "webhook a (10.0.0.1:443): 1.0 days left",
        "webhook a (10.0.0.1:443): -1.0 days left",
    ]


def test_ready_endpoints_are_asked_at_the_port_of_that_name() -> None:
    document = {
        "ports": [{"name": "https", "port": 8443}, {"name": "metrics", "port": 9090}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
            {"addresses": ["10.0.0.3"]},
        ],
    }

    assert list(addresses(document, {"https"})) == [("10.0.0.1", 8443), ("10.0.0.3", 8443)]


def test_listeners_that_end_tls_are_asked_at_each_address_of_their_gateway() -> None:
    gateway = {
        "spec": {
            "listeners": [
                {"name": "plain", "protocol": "HTTP", "port": 80},
                {"name": "own", "protocol": "HTTPS", "port": 443, "hostname": "*.a.test"},
                {"name": "past", "protocol": "TLS", "port": 444, "tls": {"mode": "Passthrough"}},
            ]
        },
        "status": {"addresses": [{"value": "10.0.0.1"}, {"value": "10.0.0.2"}]},
    }

    found = list(listeners(gateway))

    assert [(one.host, one.port, one.name) for one in found] == [
        ("10.0.0.1", 443, "hotfire.a.test"),
        ("10.0.0.2", 443, "hotfire.a.test"),
    ]
