"""The trace store of the RAG application: spans in memory, told as Jaeger's query API does.

    python -m hotfire.engine.rag.trace_store PORT GRPC_PORT

It takes them by OTLP: in JSON over HTTP at PORT, where it is asked for a trace, too, and over gRPC.
"""

import json
import sys
from collections.abc import Iterator
from http import HTTPStatus
from threading import Lock, Thread
from typing import Any

from hotfire.engine.rag.otlp_grpc import Received, listening
from hotfire.engine.rag.part import Answer, Call, Metrics, in_json, refused, serve
from hotfire.engine.rag.tracing import CLIENT, SERVER

Json = dict[str, Any]
MOST_TRACES = 2000
_KINDS = {SERVER: "server", CLIENT: "client"}


class TraceStore:
    """The spans of each trace, by its id."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._traces: dict[str, list[Received]] = {}

    def add(self, span: Received) -> None:
        """Keep a span; the oldest trace goes where there are too many."""
        with self._lock:
            self._traces.setdefault(span.trace, []).append(span)
            if len(self._traces) > MOST_TRACES:
                del self._traces[next(iter(self._traces))]

    def answer(self, call: Call) -> Answer:
        """Take spans at ``/v1/traces``; tell a trace at ``.../api/traces/ID``.

        Whose spans there are is told at ``.../api/services``.
        """
        if call.method == "POST" and call.path.endswith("/v1/traces"):
            return self._taken(call)
        before, _, last = call.path.rpartition("/")
        if before.endswith("/api") and last == "services":
            return in_json({"data": self._services(), "errors": None})
        spans = self._spans(last) if before.endswith("/api/traces") else []
        if call.method != "GET" or not spans:
            return refused(HTTPStatus.NOT_FOUND, "There is no such trace.")
        return in_json({"data": [as_jaeger(last, spans)], "errors": None})

    def _taken(self, call: Call) -> Answer:
        try:
            for span in spans_of(json.loads(call.body)):
                self.add(span)
        except (ValueError, KeyError, TypeError):
            return refused(HTTPStatus.BAD_REQUEST, "Expected spans.")
        return in_json({})

    def _spans(self, trace: str) -> list[Received]:
        with self._lock:
            return list(self._traces.get(trace, ()))

    def _services(self) -> list[str]:
        with self._lock:
            return sorted({one.service for spans in self._traces.values() for one in spans})


def spans_of(request: Json) -> Iterator[Received]:
    """Yield the spans of a request to export some, in JSON."""
    for each in request["resourceSpans"]:
        attributes = {one["key"]: one["value"] for one in each["resource"]["attributes"]}
        service = str(attributes.get("service.name", {}).get("stringValue", ""))
        for scope in each["scopeSpans"]:
            for one in scope["spans"]:
                yield Received(
                    service=service,
                    trace=one["traceId"],
                    span=one["spanId"],
                    parent=one.get("parentSpanId", ""),
                    name=one.get("name", ""),
                    kind=int(one.get("kind", 0)),
                    began_ns=int(one["startTimeUnixNano"]),
                    ended_ns=int(one["endTimeUnixNano"]),
                )


def as_jaeger(trace: str, spans: list[Received]) -> Json:
    """Return a trace in the shape of Jaeger's query API."""
    return {
        "traceID": trace,
        "spans": [_as_jaeger(one) for one in spans],
        "processes": {one.service: {"serviceName": one.service, "tags": []} for one in spans},
    }


def _as_jaeger(span: Received) -> Json:
    parent = {"refType": "CHILD_OF", "traceID": span.trace, "spanID": span.parent}
    kind = {"key": "span.kind", "type": "string", "value": _KINDS.get(span.kind, "internal")}
    return {
        "traceID": span.trace,
        "spanID": span.span,
        "operationName": span.name,
        "references": [parent] if span.parent else [],
        "startTime": span.began_ns // 1000,
        "duration": (span.ended_ns - span.began_ns) // 1000,
        "tags": [kind],
        "processID": span.service,
    }


def main(port: str, grpc_port: str) -> None:
    """Take and tell until the process is ended."""
    store = TraceStore()
    Thread(target=listening(int(grpc_port), store.add).serve_forever, daemon=True).start()
    serve(int(port), store.answer, Metrics())


if __name__ == "__main__":
    main(*sys.argv[1:])
