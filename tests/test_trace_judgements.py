"""What the spans of a request tell of its hops, and what their check concludes from it."""

import base64

import pytest

from fixtures.traces import Span, Trace, spans_of
from hotfire.errors import HarnessError
from hotfire.rag import Rag, TracedHop
from suites.observability.test_one_trace_joins_gateway_and_every_hop import Added, judge

HOPS: dict[str, TracedHop] = {
    "edge": "gateway", "app": "api", "find": "retriever", "store": "vector-store", "llm": "engine",
}  # fmt: skip
OURS = "client"


def span(id_: str, parent: str, service: str, seconds: float, *, is_call: bool = False) -> Span:
    return Span(id=id_, parent=parent, service=service, is_call=is_call, seconds=seconds)


def trace(**changes: Span) -> Trace:
    """Return a whole trace, in which some spans are others."""
    found = {
        "edge": span("edge", OURS, "edge", 1.0),
        "edge-out": span("edge-out", "edge", "edge", 0.95, is_call=True),
        "app": span("app", "edge-out", "app", 0.9),
        "app-find": span("app-find", "app", "app", 0.3, is_call=True),
        "find": span("find", "app-find", "find", 0.25),
        "store": span("store", "find", "store", 0.1),
        "app-llm": span("app-llm", "app", "app", 0.5, is_call=True),
        "llm": span("llm", "app-llm", "llm", 0.45),
        "proxy": span("proxy", "app-llm", "unknown", 9.0),
    }
    return Trace(spans=tuple((found | changes).values()), hops=HOPS)


def test_each_hop_takes_what_the_call_to_it_took_without_its_own_calls() -> None:
    assert trace().own_seconds() == pytest.approx(
        {"gateway": 0.05, "api": 0.15, "retriever": 0.2, "vector-store": 0.1, "engine": 0.5}
    )


def test_a_call_through_what_is_no_hop_is_of_the_hop_before_it() -> None:
    through = trace(llm=span("llm", "proxy", "llm", 0.45))

    assert through.own_seconds()["engine"] == pytest.approx(0.45)
    assert through.own_seconds()["api"] == pytest.approx(0.2)


def test_what_is_missing_or_hangs_on_nothing_is_named() -> None:
    without = Trace(spans=tuple(one for one in trace().spans if one.service != "llm"), hops=HOPS)

    assert trace().missing() == trace().loose(OURS) == []
    assert without.missing() == ["engine"]
    assert trace(find=span("find", "elsewhere", "find", 0.2)).loose(OURS) == ["retriever"]
    assert trace().loose("another client") == ["gateway"]


JAEGER = {
    "data": [
        {
            "traceID": "t",
            "processes": {"p1": {"serviceName": "app"}},
            "spans": [
                {
                    "spanID": "b", "references": [{"refType": "CHILD_OF", "spanID": "a"}],
                    "duration": 250_000, "processID": "p1",
                    "tags": [{"key": "span.kind", "value": "client"}],
                },
            ],
        }
    ]
}  # fmt: skip
BATCH = {
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]},
    "scopeSpans": [
        {
            "spans": [
                {
                    "spanId": base64.b64encode(b"b").decode(),
                    "parentSpanId": base64.b64encode(b"a").decode(),
                    "kind": "SPAN_KIND_CLIENT",
                    "startTimeUnixNano": "1000000000",
                    "endTimeUnixNano": "1250000000",
                }
            ]
        }
    ],
}


@pytest.mark.parametrize(
    ("document", "ids"),
    [
        (JAEGER, ("b", "a")),
        ({"batches": [BATCH]}, ("62", "61")),
        ({"trace": {"resourceSpans": [BATCH]}}, ("62", "61")),
    ],
    ids=["jaeger", "tempo", "tempo-2"],
)
def test_traces_are_read_as_jaeger_and_tempo_tell_them(
    document: dict[str, object], ids: tuple[str, str]
) -> None:
    assert spans_of(document) == (span(*ids, "app", 0.25, is_call=True),)


@pytest.mark.parametrize("document", [{}, {"data": [{}]}, {"batches": [{"resource": {}}]}])
def test_what_is_no_trace_is_nothing_to_judge(document: dict[str, object]) -> None:
    with pytest.raises(HarnessError, match="no trace as Jaeger or Tempo"):
        spans_of(document)


def added(users: float, *, chance: float = 0.02, **hops: float) -> Added:
    seconds: dict[TracedHop, float] = dict.fromkeys(HOPS.values(), 0.0)
    seconds |= {"retriever": hops.pop("retriever", 0.0), "api": hops.pop("api", 0.0)}
    return Added(users_seconds=users, hops_seconds=seconds, chance_seconds=chance)


def test_what_is_told_of_the_hop_that_was_slow_passes() -> None:
    judge(added(0.6, retriever=0.58, api=0.02), "retriever")
    judge(added(0.6, retriever=0.47, chance=0.05), "retriever")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (added(0.6, api=0.6), "0.00 s are told of it"),
        (added(0.6, retriever=0.55, api=0.4), "0.40 s of the api"),
    ],
)
def test_what_is_told_of_others_fails(found: Added, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        judge(found, "retriever")


@pytest.mark.parametrize(
    ("found", "said"),
    [(added(0.1, retriever=0.1), "0.10 s more"), (added(0.6, chance=0.3), "quieter platform")],
)
def test_what_was_not_slow_or_always_is_tells_nothing(found: Added, said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        judge(found, "retriever")


def test_each_hop_has_to_be_named_in_the_target_file() -> None:
    traces = {"gateway": {"url": "http://x"}, "services": {"api": ["app"]}}

    with pytest.raises(ValueError, match="engine, gateway, retriever, vector-store"):
        Rag.model_validate({"gateway": {"url": "http://x"}, "traces": traces})
