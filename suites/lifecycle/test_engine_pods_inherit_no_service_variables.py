"""Engine pods do not inherit Service environment variables.

Kubernetes writes each Service of a namespace into the environment of its pods unless told not to. A
Service named after its engine, as most are, sets a variable that the engine reads for itself
(``VLLM_PORT=tcp://10.96.0.7:80``): the engine dies at its next start, months after the change.
"""

import re

import pytest

from fixtures.scratch import Scratch
from fixtures.stack import Stack
from fixtures.within_engines import container_of
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError

pytestmark = requirement(
    "LIF-009",
    Level.MUST,
    __doc__,
    source="https://docs.vllm.ai/en/stable/configuration/env_vars.html",
    scope=Scope.SMOKE,
)

# A program started by exec gets what the container was given, whoever process 1 is.
ENVIRONMENT = ["cat", "/proc/self/environ"]
# The API server's own Service is written into every pod, with links on or off.
ALWAYS_THERE = "KUBERNETES"
HOST = re.compile(r"([A-Z_][A-Z0-9_]*)_SERVICE_HOST")


def inherited(environment: str, declared: set[str]) -> dict[str, str]:
    """Return the variables that stand for Services and that nobody wrote into the pod."""
    pairs = dict(row.partition("=")[::2] for row in environment.split("\0") if row)
    services = {found[1] for name in pairs if (found := HOST.fullmatch(name))} - {ALWAYS_THERE}
    written = re.compile(rf"({'|'.join(services)})_(SERVICE_(HOST|PORT.*)|PORT(_.*)?)")
    return {
        name: value
        for name, value in sorted(pairs.items())
        if services and written.fullmatch(name) and name not in declared
    }


def port_variable(service: str) -> str:
    """Return the variable by which a Service's port is told, as kubelets name it."""
    return f"{service.upper().replace('-', '_')}_PORT"


def declared_names(pod: Document, container: str) -> set[str]:
    return {each["name"] for each in container_of(pod, container).get("env") or ()}


def services_before(cluster: Cluster, namespace: str, pod: Document) -> list[str]:
    """Return the Services that the pod would have inherited: older than it, with an address."""
    return [
        service["metadata"]["name"]
        for service in cluster.list("Service", namespace)
        if service["spec"].get("clusterIP") not in (None, "", "None")
        and service["metadata"]["creationTimestamp"] <= pod["status"]["startTime"]
    ]


def telling(variables: dict[str, str]) -> str:
    """Return the one that engines stumble over: a port that is an address."""
    ports = [f"{name}={value}" for name, value in variables.items() if "://" in value]
    return min(ports, key=len, default="none yet")


def test_no_engine_pod_has_links_on(
    profile: TargetProfile, cluster: Cluster, stack: Stack, evidence: Evidence
) -> None:
    namespace, container = profile.namespace, profile.engine.container
    links: dict[str, bool] = {}
    variables: dict[str, dict[str, str]] = {}
    services: dict[str, list[str]] = {}
    for pod in stack.engines():
        document = cluster.get("Pod", namespace, pod.name) or {}
        if not document:
            continue  # It went while we looked; its successor is another pod.
        links[pod.name] = document["spec"].get("enableServiceLinks", True)
        # One that died of what it inherited has no environment to read, and its links on.
        if not pod.ready:
            continue
        done = cluster.exec(namespace, pod.name, container=container, argv=ENVIRONMENT)
        if done.rc == 0:
            names = declared_names(document, container)
            variables[pod.name] = inherited(done.stdout, names)
            services[pod.name] = services_before(cluster, namespace, document)
    evidence.record("enable_service_links", links)
    evidence.record("inherited_variables", variables)
    evidence.record("services_older_than_the_pod", services)

    assert links, f"no pod in {namespace} matches {profile.engine.label_selector}"
    # Links that are on have no effect before there is a Service, and break the start after that.
    for name, on in links.items():
        found = variables.get(name, {})
        assert not on, (
            f"{name} runs with enableServiceLinks: {str(on).lower()} and inherited "
            f"{len(found)} variables of Services, such as {telling(found)}; "
            "set it to false in its pod template"
        )
    if unread := links.keys() - variables.keys():
        raise HarnessError(
            f"the environment of {', '.join(sorted(unread))} was not read: they are not Ready, "
            "or their image has no `cat`"
        )


@pytest.mark.parametrize("links", [False, True], ids=["links-off", "links-on"])
def test_variables_of_a_service_named_like_the_engine_follow_the_links(
    links: bool,
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    kind = profile.engine.kind
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": kind},
        "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": kind}},
    }
    cluster.apply([service], namespace=scratch.namespace)
    scratch.pod("started", argv=ENVIRONMENT, spec_besides={"enableServiceLinks": links})
    found = inherited(scratch.output("started"), set())
    evidence.record("inherited_variables", found)

    if links:
        # Negative control: what finds nothing in the engines must find it here.
        if not found.get(port_variable(kind), "").startswith("tcp://"):
            raise HarnessError(f"a pod with links on inherited {found or 'nothing'} of {kind}")
        return
    assert not found, f"a pod with enableServiceLinks: false inherited {', '.join(found)}"
