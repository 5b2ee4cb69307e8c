"""``hotfire lab token``: service account tokens with wrong times, signed with the lab's own key."""

import base64
import hashlib
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hotfire.errors import LabError, ProfileError
from hotfire.lab.lab import Lab, standing

_NUMBER_BYTES = 32
_ISSUER = "https://kubernetes.default.svc"


def token(lab: Lab, account: str, *, shift_seconds: float, lifetime_seconds: float) -> str:
    """Return a signed token whose times are those of a clock ahead by ``shift_seconds``.

    Raises:
        ProfileError: that is no service account.
    """
    namespace, _, name = account.partition("/")
    if not name:
        raise ProfileError(f"{account!r} is no NAMESPACE/NAME of a service account")
    uid = _uid(lab, namespace, name)
    now = int(time.time() + shift_seconds)
    claims = {
        "iss": _ISSUER,
        "aud": [_ISSUER],
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "iat": now,
        "nbf": now,
        "exp": now + int(lifetime_seconds),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
    }
    return sign(_key(lab), claims)


def sign(key: ec.EllipticCurvePrivateKey, claims: dict[str, object]) -> str:
    """Return claims as a JSON Web Token (RFC 7519), signed by ES256 (RFC 7518)."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # The API server names its keys by this digest.
    header = {"alg": "ES256", "kid": _encoded(hashlib.sha256(public).digest())}
    text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    pair = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    signature = b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in pair)
    return f"{text}.{_encoded(signature)}"


def _key(lab: Lab) -> ec.EllipticCurvePrivateKey:
    record = lab.state.read()
    if record is None:
        raise LabError("no lab is up; `hotfire lab up` starts one")
    path = lab.state.pki / standing(record).members[0].name / "service-account.key"
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise LabError(f"{path} is no key of an elliptic curve")
    return key


def _uid(lab: Lab, namespace: str, name: str) -> str:
    found = lab.kubectl().items("serviceaccount", name, f"--namespace={namespace}")
    return str(found[0]["metadata"]["uid"])


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
