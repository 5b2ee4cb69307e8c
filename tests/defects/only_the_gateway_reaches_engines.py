"""The policy is about the pods of the engines' ReplicaSet: one engine of three is under none."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from hotfire.waiting import until
from tests.world import World

API, NAME = "networking.k8s.io/v1", "engines"
OF_A_REPLICA_SET = {"matchExpressions": [{"key": "pod-template-hash", "operator": "Exists"}]}
ADMITTED = ("envoy-gateway-system", "monitoring")
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 8000), timeout=1)"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _policy(world, {"matchLabels": world.profile.engine.selector}):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    def as_it_is(_spec: Document) -> None: ...

    with _policy(world, OF_A_REPLICA_SET), world.one_more_engine(as_it_is):
        yield


@contextmanager
def _policy(world: World, selector: Document) -> Iterator[None]:
    """Let the gateway and Prometheus reach these pods, and nobody else."""
    names = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": list(ADMITTED),
    }
    admitted = [{"namespaceSelector": {"matchExpressions": [names]}}]
    spec = {
        "podSelector": selector,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": admitted, "ports": [{"protocol": "TCP", "port": 8000}]}],
    }
    document = {"apiVersion": API, "kind": "NetworkPolicy", "metadata": {"name": NAME}}
    namespace = world.profile.namespace
    engines = [pod.ip for pod in world.stack.engines()]
    world.cluster.apply([document | {"spec": spec}], namespace=namespace)
    try:
        _await(world, engines, reached=False)
        yield
    finally:
        world.cluster.delete("NetworkPolicy", namespace, NAME, api_version=API)
        _await(world, engines, reached=True)


def _await(world: World, engines: list[str], *, reached: bool) -> None:
    namespace = world.profile.namespace
    [canary] = world.cluster.pods(namespace, {"app": "canary"})

    def connects(address: str) -> bool:
        argv = ["python3", "-c", _CONNECT, address]
        return not world.cluster.exec(namespace, canary.name, container="engine", argv=argv).rc

    until(
        lambda: all(connects(each) == reached for each in engines),
        within_seconds=30,
        what=f"the canary reaching engines: {reached}",
    )
