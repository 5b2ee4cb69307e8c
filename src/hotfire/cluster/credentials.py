"""Reads the Kubernetes Secrets that a target file names, for this process and those it starts."""

import base64
import binascii

from hotfire.cluster.client import Cluster
from hotfire.errors import Forbidden, ProfileError
from hotfire.gateway import Gateway
from hotfire.reference import in_cluster, is_lent, lend, names_in, unreadable


def lend_secrets(gateway: Gateway, cluster: Cluster) -> None:
    """Read each Secret that the gateway's headers name, once.

    Raises:
        ProfileError: there is no such Secret or key, or we may not read it.
    """
    for name in names_in(gateway.shown_headers.values()):
        if in_cluster(name) and not is_lent(name):
            lend(name, _read(name, cluster))


def _read(name: str, cluster: Cluster) -> str:
    namespace, secret, key = in_cluster(name) or ("", "", "")
    try:
        found = cluster.get("Secret", namespace, secret)
    except Forbidden as error:
        why = f"we may not; grant get on Secret {secret} in {namespace}, or name it by env or file"
        raise _refusal(name, why) from error
    if found is None:
        raise _refusal(name, f"there is no Secret {secret} in namespace {namespace}; create it")
    data = found.get("data") or {}
    if key not in data:
        raise _refusal(name, f"the Secret has no key {key}; it has {', '.join(sorted(data))}")
    try:
        return base64.b64decode(data[key], validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refusal(name, "it is no text") from error


def _refusal(name: str, why: str) -> ProfileError:
    return unreadable(name, why, field="gateway")
