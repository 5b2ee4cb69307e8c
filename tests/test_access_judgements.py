"""What the checks of credentials and of tenants conclude at a gateway whose faults are known."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fixtures.callers import Callers
from fixtures.ways_in import WaysIn, together, ways_of
from hotfire import Evidence, TargetProfile
from hotfire.engine.authorizer import PASS, Answer, Authorizer
from hotfire.errors import HarnessError
from suites.security import test_credentials_are_required_on_every_route as sec_003
from suites.security import test_tenants_reach_only_their_models as sec_004
from tests.tenants import signed
from tests.test_authorizer import CLAIMS, KEY, KEYS, RULES

ROUTES = [
    {"metadata": {"name": "inference"}, "spec": {"rules": [{"backendRefs": [{}]}]}},
    {
        "metadata": {"name": "canary"},
        "spec": {
            "rules": [
                {
                    "matches": [{"headers": [{"name": "x-version", "value": "canary"}]}],
                    "backendRefs": [{}],
                }
            ]
        },
    },
]
Shown = dict[str, str]
Decide = Callable[[Shown, bytes], Answer]
SECRETS = {
    "TEST_KEY_A": "key-of-a",
    "TEST_TOKEN_B": signed(KEY, CLAIMS),
    "TEST_EXPIRED": signed(KEY, CLAIMS | {"exp": time.time() - 60}),
    "TEST_OTHER_ISSUER": signed(KEY, CLAIMS | {"iss": "https://other"}),
    "TEST_OTHER_AUDIENCE": signed(KEY, CLAIMS | {"aud": "training"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A gateway with an engine behind it that answers whatever passes, and what is said of it."""

    url: str
    folder: Path
    declared: dict[str, Any] = field(default_factory=dict)

    @property
    def callers(self) -> Callers:
        known = {"name": "t", "budgets": "lab", "engine": {"model": "tiny"}}
        gateway = {"url": self.url, "bearer_token": "${env:TEST_TOKEN_B}"}
        profile = TargetProfile.model_validate({**known, "gateway": gateway, **self.declared})
        return Callers(profile=profile, record=lambda _: None)

    @property
    def ways_in(self) -> WaysIn:
        return together([ways_of(route, base_path="") for route in ROUTES])

    def evidence(self, name: str) -> Evidence:
        folder = self.folder / name
        folder.mkdir()
        return Evidence(folder)

    def doors(self, evidence: Evidence) -> sec_003.Doors:
        return sec_003.doors_of(self.callers, self.ways_in, evidence)

    @property
    def tenants(self) -> sec_004.Tenants:
        naming = (way for way in self.ways_in.ways if way.names_a_model)
        return sec_004.Tenants(callers=self.callers, ways=self.callers.offered(naming))


Raise = Callable[..., AbstractContextManager[Scene]]


def bearer(name: str) -> Shown:
    return {"Authorization": f"Bearer ${{env:{name}}}"}


TENANTS = {
    "a": {"headers": {"X-Api-Key": "${env:TEST_KEY_A}"}, "models": ["tiny"]},
    "b": {"headers": bearer("TEST_TOKEN_B"), "models": ["tiny", "large"]},
}
REFUSED = {
    "expired": bearer("TEST_EXPIRED"),
    "other-issuer": bearer("TEST_OTHER_ISSUER"),
    "other-audience": bearer("TEST_OTHER_AUDIENCE"),
}
DECLARED = {"tenants": TENANTS, "refused": REFUSED}


@contextmanager
def gateway(decide: Decide) -> Iterator[str]:
    """Have a gateway on the loopback; its engine takes the last of several models."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            said = decide({name.lower(): text for name, text in self.headers.items()}, content)
            model = json.loads(content)["model"] if content else ""
            body = json.dumps({"model": model}).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raise:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)

    @contextmanager
    def at(decide: Decide, **declared: object) -> Iterator[Scene]:
        with gateway(decide) as url:
            yield Scene(url=url, folder=tmp_path, declared={"clients": DECLARED | declared})

    return at


def sound(headers: Shown, body: bytes) -> Answer:
    return Authorizer(RULES, KEYS).decide(headers, body)


def open_canary(headers: Shown, body: bytes) -> Answer:
    return PASS if "x-version" in headers else sound(headers, body)


def open_to_all_models(headers: Shown, body: bytes) -> Answer:
    return sound(headers, b"") if sound(headers, b"").status == 401 else PASS


def first_name_counts(headers: Shown, body: bytes) -> Answer:
    """Be a gate that reads the first of two models, where the engine reads the last."""
    first = json.loads(body, object_pairs_hook=lambda pairs: dict(reversed(pairs))) if body else {}
    return sound(headers, json.dumps(first).encode() if body else b"")


def nobody_may(_headers: Shown, _body: bytes) -> Answer:
    return Answer(401)


def every_credential_case(scene: Scene) -> None:
    for case in (
        sec_003.test_nobody_comes_in_without_a_credential,
        sec_003.test_forged_credentials_are_refused,
        sec_003.test_credentials_that_are_over_or_for_others_are_refused,
    ):
        evidence = scene.evidence(case.__name__)
        case(scene.doors(evidence), evidence)


def every_model_case(scene: Scene) -> None:
    ways_in, tenants = scene.ways_in, scene.tenants
    sec_004.test_other_models_are_refused_on_every_route(tenants, ways_in, scene.evidence("1"))
    sec_004.test_a_second_name_in_the_body_reaches_nothing_else(tenants, scene.evidence("2"))


def test_a_sound_gateway_passes(scene: Raise) -> None:
    with scene(sound) as here:
        every_credential_case(here)


def test_one_open_route_fails(scene: Raise) -> None:
    with scene(open_canary) as here, pytest.raises(AssertionError, match="canary"):
        every_credential_case(here)


@pytest.mark.parametrize(
    ("claim", "forged"), [("exp", "TEST_EXPIRED"), ("aud", "TEST_OTHER_AUDIENCE")]
)
def test_a_claim_that_nobody_looks_at_fails(scene: Raise, claim: str, forged: str) -> None:
    secret = SECRETS[forged]

    def careless(headers: Shown, body: bytes) -> Answer:
        return PASS if secret in headers.get("authorization", "") else sound(headers, body)

    with scene(careless) as here, pytest.raises(AssertionError, match="were answered"):
        every_credential_case(here)


def test_a_refusal_by_another_status_fails(scene: Raise) -> None:
    def forbids(headers: Shown, body: bytes) -> Answer:
        said = sound(headers, body)
        return Answer(403) if said.status == 401 else said

    with scene(forbids) as here, pytest.raises(AssertionError, match="not refused by 401"):
        every_credential_case(here)


def test_a_gateway_that_lets_nobody_in_is_not_judged(scene: Raise) -> None:
    with scene(nobody_may) as here, pytest.raises(HarnessError, match="no valid credential"):
        every_credential_case(here)


def test_a_broken_refusal_is_not_judged(scene: Raise) -> None:
    def breaks(headers: Shown, body: bytes) -> Answer:
        said = sound(headers, body)
        return Answer(503) if said.status == 401 else said

    with scene(breaks) as here, pytest.raises(HarnessError, match="503"):
        every_credential_case(here)


def test_an_expired_credential_has_to_be_declared(scene: Raise) -> None:
    with (
        scene(sound, refused={}) as here,
        pytest.raises(HarnessError, match="expired, other-issuer, other-audience"),
    ):
        every_credential_case(here)


@pytest.mark.parametrize(
    ("why", "shown", "doubt"),
    [
        ("expired", "TEST_TOKEN_B", "it has not expired"),
        ("other-issuer", "TEST_OTHER_AUDIENCE", "differs in aud"),
        ("other-audience", "TEST_EXPIRED", "it has expired"),
    ],
)
def test_a_declared_credential_that_is_something_else_is_not_judged(
    scene: Raise, why: str, shown: str, doubt: str
) -> None:
    declared = {**REFUSED, why: bearer(shown)}
    with (
        scene(sound, refused=declared) as here,
        pytest.raises(HarnessError, match=doubt),
    ):
        every_credential_case(here)


def test_tenants_that_are_kept_to_their_models_pass(scene: Raise) -> None:
    with scene(sound) as here:
        every_model_case(here)


@pytest.mark.parametrize("decide", [open_to_all_models, first_name_counts])
def test_a_model_that_is_not_permitted_fails(scene: Raise, decide: Decide) -> None:
    with scene(decide) as here, pytest.raises(AssertionError, match="answers are those of models"):
        every_model_case(here)


def test_tenants_with_the_same_models_are_not_judged(scene: Raise) -> None:
    alike = {name: {**tenant, "models": ["tiny"]} for name, tenant in TENANTS.items()}
    with scene(sound, tenants=alike) as here, pytest.raises(HarnessError, match="no tenant"):
        every_model_case(here)


def test_a_model_that_answers_nobody_is_not_judged(scene: Raise) -> None:
    def lacks(headers: Shown, body: bytes) -> Answer:
        return Answer(404) if b"large" in body else sound(headers, body)

    with scene(lacks) as here, pytest.raises(HarnessError, match="large is not answered"):
        every_model_case(here)
