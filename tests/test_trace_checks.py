"""The check of traces passes behind a gateway that hands on whose request it is, and fails else.

The gateway is the lab's own, as it is made to tell its spans; the parts are processes of this
machine.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest
import yaml

from fixtures.traces import Tracing
from hotfire import Evidence
from hotfire.errors import HarnessError
from hotfire.lab.build.workshop import envoy_program
from hotfire.rag import Rag, TracedHop
from hotfire.waiting import until
from suites.observability import test_one_trace_joins_gateway_and_every_hop as traces
from tests.chaos.conftest import address, api, cluster, profile, world
from tests.chaos.test_changes import estate, held
from tests.ports import free_port
from tests.rag import SERVICES
from tests.test_rag_application import running
from tests.test_rag_checks import Ground, Laid, laid
from tests.test_rag_tracing import traced_engine

__all__ = ["address", "api", "cluster", "estate", "held", "laid", "profile", "world"]
Json = dict[str, object]
_TYPE, _FILTERS = "@type", "type.googleapis.com/envoy.extensions.filters.http"
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
_HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster_of(name: str, port: int, **fields: object) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **fields}


def tracing_by(cluster_name: str) -> Json:
    """Return what Envoy Gateway makes of a provider that speaks OpenTelemetry."""
    config = {
        _TYPE: "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster_name}},
        "service_name": SERVICES["gateway"],
    }
    shares = {f"{one}_sampling": {"value": 100} for one in ("random", "overall")}
    provider = {"name": "envoy.tracers.opentelemetry", "typed_config": config}
    return {**shares, "spawn_upstream_span": True, "provider": provider}


def gateway_config(port: int, app: int, spans: int, *, drops: bool) -> Json:
    """Return a gateway before the application; one that ``drops`` hands on and tells nothing."""
    route: Json = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "30s"}}
    route |= {"request_headers_to_remove": ["traceparent"]} if drops else {}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    router = {_TYPE: f"{_FILTERS}.router.v3.Router"}
    manager = {
        _TYPE: _MANAGER,
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        **({} if drops else {"tracing": tracing_by("spans")}),
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
    http2 = {_TYPE: _HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}
    options = {"typed_extension_protocol_options": {_HTTP2.partition("/")[2]: http2}}
    clusters = [cluster_of("app", app), cluster_of("spans", spans, **options)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


@contextmanager
def gateway(folder: Path, config: Json) -> Iterator[None]:
    path = folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(config))
    argv = [str(envoy_program()), "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id"]
    with Popen(argv, stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def traced(laid: Laid, folder: Path, *, drops: bool = False) -> Iterator[tuple[Ground, Tracing]]:
    """Have the application behind a gateway, and a store of all their spans."""
    way_in, spans = free_port(), free_port()
    with ExitStack() as parts:
        store = parts.enter_context(running("trace_store", str(spans)))
        engine = parts.enter_context(traced_engine(store.url, "--misbehaviour=echo"))
        settings = {"ENGINE": engine, "TRACES": store.url, "CONTEXT_SECONDS": "5"}
        on = parts.enter_context(laid(**settings))
        app = int(on.application.rag.gateway.url.rpartition(":")[2])
        parts.enter_context(gateway(folder, gateway_config(way_in, app, spans, drops=drops)))
        yield on, tracing(on, f"http://127.0.0.1:{way_in}", store.url)


def tracing(on: Ground, gateway_url: str, store_url: str) -> Tracing:
    rag = Rag.model_validate(
        {
            **on.application.rag.model_dump(),
            "gateway": {"url": gateway_url, "base_path": "/rag"},
            "traces": {
                "gateway": {"url": store_url},
                "services": {hop: [name] for hop, name in SERVICES.items()},
                "within_seconds": 12,
            },
        }
    )
    assert rag.traces is not None
    app = replace(on.application, rag=rag)
    with app.client() as client:
        until(lambda: client.chat("?").ok, within_seconds=30, what="the gateway")
    return Tracing(application=app, takeaway=on.takeaway, declared=rag.traces)


def test_it_passes_where_every_hop_is_in_one_trace(laid: Laid, tmp_path: Path) -> None:
    with traced(laid, tmp_path) as (on, found):
        found.require_store()
        traces.test_every_hop_is_in_the_trace_that_the_client_began(found, on.evidence)


@pytest.mark.parametrize("slow", ["retriever", "vector-store"])
def test_it_passes_where_a_slow_hop_is_told_by_its_span(
    laid: Laid, tmp_path: Path, slow: TracedHop
) -> None:
    with traced(laid, tmp_path) as (on, found):

        def decided() -> bool:
            try:
                fresh = Evidence(on.evidence.directory)
                traces.test_a_slow_hop_is_told_by_its_own_span(found, slow, fresh)
            except HarnessError:
                return False
            return True

        until(decided, within_seconds=90, what=f"a verdict on a slow {slow}")


def test_it_fails_where_the_gateway_drops_whose_request_it_is(laid: Laid, tmp_path: Path) -> None:
    with (
        traced(laid, tmp_path, drops=True) as (on, found),
        pytest.raises(AssertionError, match="its traceparent comes to nobody"),
    ):
        traces.test_every_hop_is_in_the_trace_that_the_client_began(found, on.evidence)


def test_where_nobody_tells_traces_nobody_is_blamed(laid: Laid, tmp_path: Path) -> None:
    with traced(laid, tmp_path) as (_, found):
        elsewhere = found.declared.model_copy(update={"gateway": found.application.rag.gateway})

        with pytest.raises(HarnessError, match="answers neither /api/services nor /api/echo"):
            replace(found, declared=elsewhere).require_store()
