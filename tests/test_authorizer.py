"""The authorizer passes who may ask for what is asked, and refuses everything else."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from hotfire.engine import authorizer
from hotfire.engine.authorizer import CHECK, ISSUER, READY, Allowance, Authorizer
from tests.tenants import signed

RULES = {
    "tokens": {"issuer": "https://issuer", "audience": "inference"},
    "tenants": {
        "a": {"models": ["tiny"]},
        "b": {"models": ["tiny", "large"]},
        "metered": {"models": ["tiny"], "limit": {"requests": 2, "seconds": 4}},
    },
}
KEY = b"signs-tokens"
KEYS = {"a": b"key-of-a", "b": b"key-of-b", "metered": b"key-of-m", ISSUER: KEY}
CLAIMS = {"sub": "b", "iss": "https://issuer", "aud": "inference", "exp": time.time() + 86400}


def body(*models: str) -> bytes:
    return ("{" + ", ".join(f'"model": "{model}"' for model in models) + "}").encode()


def status(headers: dict[str, str], content: bytes = b"") -> int:
    return Authorizer(RULES, KEYS).decide(headers, content).status


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    "headers", [bearer("key-of-a"), {"x-api-key": "key-of-a"}, bearer(signed(KEY, CLAIMS))]
)
def test_keys_and_tokens_pass(headers: dict[str, str]) -> None:
    assert status(headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("key-of-"),
        bearer("key-of-aa"),
        bearer("signs-tokens"),
        bearer("clé"),
        {"authorization": "key-of-a"},
        {**bearer("none"), "x-api-key": "key-of-a"},
    ],
)
def test_what_is_no_key_is_refused(headers: dict[str, str]) -> None:
    assert status(headers) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"exp": time.time() - 1},
        {"exp": None},
        {"nbf": time.time() + 600},
        {"iss": "https://other"},
        {"aud": "training"},
        {"aud": None},
        {"sub": "nobody"},
    ],
)
def test_tokens_that_are_over_or_for_others_are_refused(change: dict[str, Any]) -> None:
    assert status(bearer(signed(KEY, CLAIMS | change))) == 401


def test_tokens_of_another_key_are_refused() -> None:
    assert status(bearer(signed(b"other", CLAIMS))) == 401


def test_an_audience_may_be_one_of_several() -> None:
    assert status(bearer(signed(KEY, CLAIMS | {"aud": ["training", "inference"]}))) == 200


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (body("tiny"), 200),
        (body("large"), 403),
        (body("tiny", "large"), 400),
        (body("large", "tiny"), 400),
        (b"{}", 400),
        (b"[]", 400),
        (b'{"model": ["tiny"]}', 403),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
    ],
)
def test_a_tenant_asks_for_its_models_only(content: bytes, expected: int) -> None:
    assert status(bearer("key-of-a"), content) == expected


def test_the_gateway_is_told_whose_request_it_passes() -> None:
    answer = Authorizer(RULES, KEYS).decide(bearer("key-of-a"), body("tiny"))

    assert answer.headers == {"X-Tenant": "a"}


def test_a_token_has_the_models_of_its_tenant() -> None:
    assert status(bearer(signed(KEY, CLAIMS)), body("large")) == 200
    assert status(bearer(signed(KEY, CLAIMS | {"sub": "a"})), body("large")) == 403


def test_a_limit_is_its_tenants_own_and_says_when_to_come_again() -> None:
    gate = Authorizer(RULES, KEYS)

    answers = [gate.decide(bearer("key-of-m"), b"") for _ in range(3)]

    assert [one.status for one in answers] == [200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "2"
    assert gate.decide(bearer("key-of-a"), b"").status == 200


def test_an_allowance_fills_steadily_and_no_more_than_full() -> None:
    now = [0.0]
    allowance = Allowance(requests=2, seconds=4, clock=lambda: now[0])

    taken = [allowance.wait_seconds() for _ in range(3)]
    now[0] = 3.0
    after = [allowance.wait_seconds() for _ in range(2)]
    now[0] = 100.0
    full = [allowance.wait_seconds() for _ in range(3)]

    assert taken == [0, 0, 2]
    assert after == [0, 1]
    assert full == [0, 0, 2]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The program as a stock image runs it."""
    folder = tmp_path_factory.mktemp("authorizer")
    (folder / "rules.json").write_text(json.dumps(RULES))
    keys = folder / "keys"
    keys.mkdir()
    for name, key in KEYS.items():
        (keys / name).write_bytes(key + b"\n")
    words = [str(folder / "rules.json"), str(keys), "0"]
    argv = [sys.executable, "-I", "-S", str(Path(authorizer.__file__)), *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[-1])
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "expected"),
    [
        ("GET", READY, {}, b"", 200),
        ("GET", CHECK + "v1/models", {}, b"", 401),
        ("GET", CHECK + "../ready", {}, b"", 401),
        ("HEAD", CHECK + "v1/models", {}, b"", 401),
        ("GET", CHECK + "v1/models", bearer("key-of-a"), b"", 200),
        ("POST", CHECK + "v1/completions", bearer("key-of-a"), body("tiny"), 200),
        ("POST", CHECK + "v1/completions", bearer("key-of-a"), body("large"), 403),
        ("GET", "/v1/models", bearer("key-of-a"), b"", 404),
    ],
)
def test_the_program_answers_over_one_connection(
    port: int, method: str, path: str, headers: dict[str, str], content: bytes, expected: int
) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(2):
        connection.request(method, path, body=content or None, headers=headers)
        reply = connection.getresponse()
        reply.read()

        assert reply.status == expected
    connection.close()
