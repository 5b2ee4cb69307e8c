"""The parts of the RAG application tell one trace together, and its store takes spans as OTLP."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from subprocess import PIPE, Popen
from sys import executable

import grpc
import pytest

from fixtures.traces import Trace, spans_of
from hotfire.engine.rag.otlp_grpc import fields
from hotfire.engine.rag.otlp_grpc import spans_of as spans_in
from hotfire.engine.rag.tracing import Context, caller
from hotfire.rag import TracedHop
from hotfire.waiting import until
from tests.ports import free_port
from tests.test_rag_application import DOCUMENTS, Part, running

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HOPS: dict[str, TracedHop] = {
    "gateway": "gateway", "rag-api": "api", "rag-retriever": "retriever",
    "rag-vector-store": "vector-store", "engine": "engine",
}  # fmt: skip
TRACE, OURS = secrets.token_hex(16), secrets.token_hex(8)


@contextmanager
def traced_engine(store: str, *options: str) -> Iterator[str]:
    """Run the scripted engine that tells of its spans; yield its URL."""
    argv = [executable, "-m", "hotfire.engine.rag.traced_engine", "--port=0", "--ttft-seconds=0"]
    argv += options
    environment = {**os.environ, "TRACES": store}
    with Popen(argv, stdout=PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().split()[-1]}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Part, int]]:
    """A trace store, and its port for gRPC."""
    port = free_port()
    with running("trace_store", str(port)) as found:
        yield found, port


def told(store: Part, trace: str) -> Trace:
    status, _, content = store.asked("GET", f"/traces/api/traces/{trace}")
    return Trace(spans=spans_of(json.loads(content)) if status == 200 else (), hops=HOPS)


def test_a_request_is_one_trace_of_all_that_it_goes_through(store: tuple[Part, int]) -> None:
    kept, header = store[0], Context(TRACE, OURS).headers
    with ExitStack() as parts:
        environment = {"TRACES": kept.url, "CONTEXT_SECONDS": "5"}
        environment["ENGINE"] = parts.enter_context(traced_engine(kept.url))
        vectors = running("vector_store", str(DOCUMENTS), environment=environment)
        retriever = running("retriever", parts.enter_context(vectors).url, environment=environment)
        environment["RETRIEVER"] = parts.enter_context(retriever).url
        api = parts.enter_context(running("api", environment=environment))
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Who?"}]}
        api.asked("POST", "/v1/chat/completions", {**body, "max_tokens": 3}, **header)
        until(
            lambda: told(kept, TRACE).missing() == ["gateway"],
            within_seconds=20,
            what="spans of every part",
        )

    found = told(kept, TRACE)
    assert found.loose(OURS) == []
    assert all(seconds >= 0 for seconds in found.own_seconds().values())
    assert sum(one.is_call for one in found.spans) == 3
    assert told(kept, "0" * 32).spans == ()
    status, _, content = kept.asked("GET", "/traces/api/services")
    assert (status, set(json.loads(content)["data"])) == (200, set(HOPS) - {"gateway"})


def field(number: int, value: bytes | int) -> bytes:
    """Return a field of a protobuf message: of so many bytes, or a fixed number of eight."""
    if isinstance(value, int):
        return bytes([number << 3 | 1]) + value.to_bytes(8, "little")
    length = len(value)
    head = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    return bytes([number << 3 | 2]) + head + value


def request(trace: str, span: str, parent: str, padding: int = 0) -> bytes:
    """Return a request to export a span of half a second, with an attribute of so many bytes."""
    name = field(1, b"service.name") + field(2, field(1, b"gateway"))
    resource = field(1, field(1, b"other") + field(2, field(1, b"x" * padding))) + field(1, name)
    ids = field(1, bytes.fromhex(trace)) + field(2, bytes.fromhex(span))
    one = ids + field(4, bytes.fromhex(parent)) + field(5, b"ingress") + b"\x30\x03"
    one += field(7, 1_000_000_000) + field(8, 1_500_000_000)
    return field(1, field(1, resource) + field(2, field(2, one)))


def test_spans_come_by_grpc_too(store: tuple[Part, int]) -> None:
    kept, port = store
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary(
            EXPORT, request_serializer=lambda it: it, response_deserializer=lambda it: it
        )
        # More than one window of HTTP/2 in all.
        for _ in range(12):
            span = secrets.token_hex(8)
            assert export(request(trace, span, parent, 10_000), timeout=20) == b""

    found = told(kept, trace)
    assert len(found.spans) == 12
    assert {(one.service, one.parent, one.is_call, one.seconds) for one in found.spans} == {
        ("gateway", parent, True, 0.5)
    }


def test_what_is_no_message_is_told_so() -> None:
    for broken in (b"\xff", b"\x0b", b"\x0f"):
        with pytest.raises(ValueError, match=r"too early|wire type"):
            list(fields(broken))
    assert list(spans_in(b"")) == []


def test_what_is_no_trace_is_refused(store: tuple[Part, int]) -> None:
    documents: list[object] = [{}, {"resourceSpans": [{}]}, []]
    for document in documents:
        assert store[0].asked("POST", "/v1/traces", document)[0] == 400


@pytest.mark.parametrize(
    "text",
    ["", "00-1-2-01", f"00-{'0' * 32}-{OURS}-01", f"00-{TRACE}-{'0' * 16}-01"],
    ids=["nothing", "too short", "no trace", "no span"],
)
def test_who_says_nothing_begins_a_trace(text: str) -> None:
    assert caller({"traceparent": text}) is None
    assert caller(Context(TRACE, OURS).headers) == (TRACE, OURS)
