"""The scripted stack behind its RAG application; its gateway and engines tell their spans, too."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire import Endpoint
from hotfire.waiting import until
from tests.overlays import engine_spec
from tests.rag import BASE_PATH, SERVICES, TRACE_STORE, TRACES_PATH, retrieving
from tests.world import World

_PROXY = ("EnvoyProxy", "envoy-gateway-system", "inference")
_PROXY_API = "gateway.envoyproxy.io/v1alpha1"
_GRPC_PORT = 4317
_PODS = ("containers", "volumes")


@contextmanager
def traced(world: World) -> Iterator[None]:
    """Have the application, and every hop's spans in its store."""
    with retrieving(world), _engines_that_tell(world), _gateway_that_tells(world):
        yield


@contextmanager
def _engines_that_tell(world: World) -> Iterator[None]:
    """Have the engines of the overlay: once the application is there, whose files they read."""
    former = world.stack.engine_workload()["spec"]["template"]["spec"]
    told = engine_spec(world, "rag")
    world.patch_engine_pods({name: told[name] for name in _PODS})
    try:
        yield
    finally:
        world.patch_engine_pods({name: former[name] for name in _PODS})


@contextmanager
def _gateway_that_tells(world: World) -> Iterator[None]:
    store = {"name": TRACE_STORE, "namespace": world.profile.namespace, "port": _GRPC_PORT}
    provider = {"type": "OpenTelemetry", "serviceName": SERVICES["gateway"], "backendRefs": [store]}
    telemetry = {"tracing": {"samplingRate": 100, "provider": provider}}
    _set_telemetry(world, telemetry)
    try:
        _wait_told(world)
        yield
    finally:
        _set_telemetry(world, None)


def _set_telemetry(world: World, telemetry: object) -> None:
    body = {"spec": {"telemetry": telemetry}}
    world.cluster.patch(*_PROXY, body, api_version=_PROXY_API)


def _client(world: World, base_path: str) -> Endpoint:
    gateway = world.profile.gateway.model_copy(update={"base_path": base_path})
    return Endpoint.of(world.profile.model_copy(update={"gateway": gateway}))


def _wait_told(world: World) -> None:
    """Wait until the gateway's spans come to the store; it sends them every five seconds."""
    asked: list[str] = []

    def told() -> bool:
        asked.append(secrets.token_hex(16))
        header = {"traceparent": f"00-{asked[-1]}-{secrets.token_hex(8)}-01"}
        client.chat(asked[-1], max_tokens=1, headers=header, fresh=True)
        traces = [store.get(f"/api/traces/{one}").body or {} for one in asked[-20:]]
        return any(SERVICES["gateway"] in str(one) for one in traces)

    with _client(world, BASE_PATH) as client, _client(world, TRACES_PATH) as store:
        until(told, within_seconds=60, what="spans of the gateway in the store", poll_seconds=1.0)
