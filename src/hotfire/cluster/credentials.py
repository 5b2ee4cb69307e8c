"""Reads the Kubernetes Secrets that a target file names, for this process and those it starts."""

import base64
import binascii
from collections.abc import Iterable

from hotfire.cluster.client import Cluster
from hotfire.errors import Forbidden
from hotfire.gateway import Gateway
from hotfire.reference import in_cluster, is_lent, lend, names_in, unreadable


def lend_secrets(gateway: Gateway, cluster: Cluster) -> None:
    """Read each Secret that the gateway's headers name, once.

    Raises:
        ProfileError: there is no such Secret or key, or we may not read it.
    """
    lend_named(gateway.shown_headers.values(), cluster, field="gateway")


def lend_named(texts: Iterable[str], cluster: Cluster, *, field: str) -> None:
    """Read each Secret that some texts name, once.

    Raises:
        ProfileError: as above; the message begins with ``field``.
    """
    for name in names_in(texts):
        if in_cluster(name) and not is_lent(name):
            lend(name, _read(name, cluster, field))


def _read(name: str, cluster: Cluster, field: str) -> str:
    namespace, secret, key = in_cluster(name) or ("", "", "")
    try:
        found = cluster.get("Secret", namespace, secret)
    except Forbidden as error:
        why = f"we may not; grant get on Secret {secret} in {namespace}, or name it by env or file"
        raise unreadable(name, why, field=field) from error
    if found is None:
        why = f"there is no Secret {secret} in namespace {namespace}; create it"
        raise unreadable(name, why, field=field)
    data = found.get("data") or {}
    if key not in data:
        why = f"the Secret has no key {key}; it has {', '.join(sorted(data))}"
        raise unreadable(name, why, field=field)
    try:
        return base64.b64decode(data[key], validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unreadable(name, "it is no text", field=field) from error
