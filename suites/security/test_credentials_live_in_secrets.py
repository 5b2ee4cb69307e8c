"""Credentials live in Secrets, encrypted at rest and readable only by their users.

A token in an argument is in every listing of pods, in every dashboard of them and in the processes
of its node; one in a ConfigMap or a log is wherever those are copied to. A Secret is kept apart by
the API server, and only as far as its rights and its storage keep it.
"""

import base64
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import pytest

from fixtures.access import Access, Account, Act
from fixtures.data_plane import DataPlane
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, metrics, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "SEC-007",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
)

# What is public in a Secret of a certificate, and in everybody's ConfigMap.
PUBLIC = ("tls.crt", "ca.crt")
SHORTEST = 8
# Tokens of model hubs and model APIs, of version control, signed tokens and private keys.
SHAPE = re.compile(
    r"\b(?:sk|hf|ghp|glpat)[-_][A-Za-z0-9_-]{16,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/\s:@]+:[^/\s@$]{4,}@"
)
# An option or a variable of such a name holds a credential, or the path of one.
NAMED = re.compile(
    r"(?:^|[-_])(?:api[-_]?key|token|password|passwd|secret|secret[-_]?key)[= ]"
    r"(?![/$]|\d+(?:\s|$)|true\b|false\b)\S{8,}",
    re.IGNORECASE,
)
READING = ("get", "list", "watch")
ENCRYPTED, STORED = "k8s:enc:", "apiserver_storage_transformation_operations_total"
PLANTED = "planted"


@dataclass(frozen=True, slots=True)
class Text:
    """Something that more people may read than a Secret."""

    where: str
    content: str


def secret_values(secrets: Iterable[Document]) -> dict[str, str]:
    """Return the values by Secret and key; what is short or public could be anywhere."""
    found = {
        f"{secret['metadata']['name']}/{key}": base64.b64decode(value).decode(errors="replace")
        for secret in secrets
        for key, value in (secret.get("data") or {}).items()
        if key not in PUBLIC
    }
    return {name: value.strip() for name, value in found.items() if len(value) >= SHORTEST}


def texts_of_pod(pod: Document) -> Iterator[Text]:
    name = pod["metadata"]["name"]
    spec = pod["spec"]
    for container in chain(spec.get("initContainers") or (), spec["containers"]):
        where = f"{name}/{container['name']}"
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        yield Text(f"the arguments of {where}", " ".join(words))
        for variable in container.get("env") or ():
            if value := variable.get("value"):
                told = f"variable {variable['name']} of {where}"
                yield Text(told, f"{variable['name']}={value}")
    for key, value in (pod["metadata"].get("annotations") or {}).items():
        yield Text(f"annotation {key} of {name}", value)


def texts(cluster: Cluster, namespace: str) -> Iterator[Text]:
    """Yield every text of a namespace in which a credential must not be."""
    for each in cluster.list("ConfigMap", namespace):
        for key, value in (each.get("data") or {}).items():
            yield Text(f"ConfigMap {each['metadata']['name']}/{key}", value)
    for pod in cluster.list("Pod", namespace):
        yield from texts_of_pod(pod)
        for status in pod["status"].get("containerStatuses") or ():
            if status.get("containerID"):
                name, container = pod["metadata"]["name"], status["name"]
                log = cluster.logs(namespace, name, container=container)
                yield Text(f"the log of {name}/{container}", log)


def leaks(cluster: Cluster, namespace: str, secrets: Iterable[Document]) -> list[str]:
    """Return where a namespace shows a credential, without showing it once more."""
    values = secret_values(secrets)
    return [
        f"{text.where} holds {what}"
        for text in texts(cluster, namespace)
        if (what := credential(text, values))
    ]


def credential(text: Text, values: dict[str, str]) -> str:
    """Return what kind of credential a text holds; empty if none."""
    for name, value in values.items():
        if value in text.content or base64.b64encode(value.encode()).decode() in text.content:
            return f"the value of Secret {name}"
    if SHAPE.search(text.content):
        return "a token, a private key or a password in a URL"
    is_setting = text.where.startswith(("the arguments", "variable"))
    return "a credential by its name" if is_setting and NAMED.search(text.content) else ""


@pytest.fixture
def planted(cluster: Cluster, scratch: Scratch) -> Document:
    """A Secret, a pod that has it from there, and one that has it as a variable and logs it."""
    value = uuid.uuid4().hex
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": PLANTED}}
    # Nobody has to be allowed to read it: whoever makes a Secret is told what it holds.
    made = cluster.create(secret | {"stringData": {"key": value}}, namespace=scratch.namespace)
    source = {"secretKeyRef": {"name": PLANTED, "key": "key"}}
    variables: dict[str, dict[str, object]] = {
        "careful": {"valueFrom": source},
        "careless": {"value": value},
    }
    for name, variable in variables.items():
        argv = ["sh", "-c", "echo $GREETING; sleep 600" if name == "careless" else "sleep 600"]
        env = [{"name": "GREETING", **variable}]
        scratch.pod(name, argv=argv, container_besides={"env": env})
    scratch.wait_phase("careful", "Running")
    scratch.wait_phase("careless", "Running")
    until(lambda: value in scratch.log("careless"), within_seconds=20, what="the planted log line")
    return made


def test_no_credential_lies_outside_of_secrets(
    profile: TargetProfile,
    cluster: Cluster,
    stack: object,
    scratch: Scratch,
    planted: Document,
    evidence: Evidence,
) -> None:
    control = leaks(cluster, scratch.namespace, [planted])
    secrets = cluster.list("Secret", profile.namespace)
    found = leaks(cluster, profile.namespace, secrets)
    evidence.record("secrets", len(secrets))
    evidence.record("texts", sum(1 for _ in texts(cluster, profile.namespace)))
    evidence.record("leaks", found)
    evidence.record("leaks_of_the_control", control)

    assert not found, f"{found[0]}; {len(found)} such places"
    # Negative control: what was shown on purpose is found, and nothing where it was not.
    shown = {"variable GREETING of careless/probe", "the log of careless/probe"}
    if {told.partition(" holds ")[0] for told in control} != shown:
        raise HarnessError(f"of a planted credential this was found: {control}")


def test_only_their_users_may_read_them(
    profile: TargetProfile,
    data_plane: DataPlane,
    access: Access,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    pods = [*data_plane.engines(), *data_plane.proxies()]
    accounts = {Account(scratch.namespace, "default"), *map(Account.of, pods)}
    acts = [Act(verb=verb, resource="secrets", namespace=profile.namespace) for verb in READING]
    readers = {
        str(account): [str(act) for act in acts if access.may(account, act)]
        for account in sorted(accounts)
    }
    evidence.record("may_read", readers)

    # A pod gets the Secrets that it uses from its kubelet: its account needs no right to any.
    for account, may in readers.items():
        assert not may, f"the account {account} may {may[0]}"
    # Negative control: a review that never says yes says nothing.
    if not all(map(access.we_may, acts)):
        raise HarnessError(f"these credentials may not read Secrets of {profile.namespace} either")


def test_they_are_encrypted_at_rest(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    before = encrypted(cluster)
    written = 0

    def grown() -> bool:
        nonlocal written
        written += 1
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"at-rest-{written}"}}
        cluster.create(secret | {"stringData": {"key": PLANTED}}, namespace=scratch.namespace)
        return encrypted(cluster) > before

    found = of_target(grown, within_seconds=profile.waits.api_seconds, what="a Secret encrypted")
    evidence.record("secrets_written", written)
    evidence.record("encrypted", bool(found))
    # Whoever encrypts below the API server, on its disk, shows nothing here.
    if not found:
        raise HarnessError(
            f"{written} Secrets were written, and the API server told of none that it encrypted;"
            " see its --encryption-provider-config"
        )


def encrypted(cluster: Cluster) -> float:
    """Return how many Secrets the API server says that it has encrypted."""
    series = metrics.parse(cluster.server_metrics()).series(
        STORED, transformation_type="to_storage"
    )
    return sum(
        each.value
        for each in series
        if each.labels.get("resource", "secrets") == "secrets"
        and each.labels.get("transformer_prefix", "").startswith(ENCRYPTED)
    )
