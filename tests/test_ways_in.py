"""Each rule of each route becomes requests that it takes."""

from typing import Any

import pytest

from fixtures.ways_in import Way, WaysIn, ways_of
from hotfire.errors import HarnessError

BACKENDS = [{"name": "vllm", "port": 80}]


def found(*matches: dict[str, Any], base_path: str = "", **spec: object) -> WaysIn:
    rules = [{"matches": list(matches), "backendRefs": BACKENDS}]
    route = {"metadata": {"name": "r"}, "spec": {"rules": rules, **spec}}
    return ways_of(route, base_path=base_path)


def told(ways: WaysIn) -> list[str]:
    return [str(way).removeprefix("r: ") for way in ways.ways]


def path(value: str, kind: str = "PathPrefix") -> dict[str, Any]:
    return {"path": {"type": kind, "value": value}}


WHOLE = [
    "GET /v1/models",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "POST /v1/responses",
    "POST /v1/messages",
]


@pytest.mark.parametrize(
    ("match", "base_path", "expected"),
    [
        ({}, "", WHOLE),
        (path("/"), "", WHOLE),
        (path("/v1/"), "", WHOLE),
        (path("/v1/chat"), "", ["POST /v1/chat/completions"]),
        (path("/v1/completions", "Exact"), "", ["POST /v1/completions"]),
        (path("/v1/embeddings", "Exact"), "", ["POST /v1/embeddings"]),
        (path("/v1/[a-z/]*s", "RegularExpression"), "", WHOLE),
        (path("/a"), "/a", [word.replace(" ", " /a") for word in WHOLE]),
        (path("/b"), "/a", [word.replace(" ", " /b") for word in WHOLE]),
        (path("/b/v1/chat/completions"), "/a", ["POST /b/v1/chat/completions"]),
        ({"method": "GET"}, "", ["GET /v1/models"]),
    ],
)
def test_paths_and_methods(match: dict[str, Any], base_path: str, expected: list[str]) -> None:
    assert told(found(match, base_path=base_path)) == expected


def test_headers_and_queries_are_shown() -> None:
    match = {"headers": [{"name": "X-Version", "value": "canary"}], "method": "GET"}
    asked = {**match, "queryParams": [{"name": "v", "value": "a b"}]}

    assert told(found(asked)) == ["GET /v1/models?v=a+b (x-version: canary)"]


def test_each_hostname_is_a_way_of_its_own() -> None:
    ways = found({"method": "GET"}, hostnames=["a.test", "*.b.test"])

    assert [way.headers for way in ways.ways] == [
        (("host", "a.test"),),
        (("host", "hotfire.b.test"),),
    ]


@pytest.mark.parametrize(
    "match",
    [
        {"headers": [{"name": "x", "type": "RegularExpression", "value": ".+"}]},
        path("/team-[a-z]+/v1/.*", "RegularExpression"),
    ],
)
def test_a_match_that_no_request_is_made_up_for_is_told(match: dict[str, Any]) -> None:
    with pytest.raises(HarnessError, match="no request can be made up"):
        found(match).require_all()


@pytest.mark.parametrize("match", [path("/healthz", "Exact"), {"method": "DELETE"}])
def test_other_pages_are_no_way_in(match: dict[str, Any]) -> None:
    ways = found(match)

    ways.require_all()
    assert (ways.ways, len(ways.elsewhere)) == ((), 1)


def test_what_has_no_backend_is_no_way_in() -> None:
    rule = {"filters": [{"type": "RequestRedirect"}]}

    assert ways_of({"metadata": {"name": "r"}, "spec": {"rules": [rule]}}, base_path="").ways == ()


def test_a_body_has_a_field_for_each_name() -> None:
    way = Way(route="r", operation="/v1/completions", path="/v1/completions")

    assert way.body("a", "b") == b'{"model": "a", "model": "b", "prompt": "?", "max_tokens": 1}'
