"""The scripted stack behind its authorizer, as ``overlays/tenants`` says, with fresh keys."""

import base64
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fixtures.forgeries import DAY_SECONDS, Token
from hotfire import Endpoint
from hotfire.cluster import Document
from hotfire.engine.authorizer import ISSUER
from hotfire.own_folders import project_root
from hotfire.waiting import until
from tests.overlays import Change, added, as_it_is, kind_and_name
from tests.world import World

AUTHORIZER, POLICY = "authorizer", "SecurityPolicy"
KEYS, TOKENS = "tenant-keys", "tenant-tokens"
OTHER_MODEL = "tiny-large"
TO_CANARY = {"x-version": "canary"}
REFUSED, ANSWERED = 401, 200
TEAM_B, METERED = "team-b", "metered"
_OVERLAY = project_root() / "reference-stack" / "overlays" / "tenants"
RULES: dict[str, Any] = json.loads((_OVERLAY / "rules.json").read_text())


@contextmanager
def guarded(
    world: World, change: Change = as_it_is, *, canary_status: int = REFUSED
) -> Iterator[None]:
    """Have tenants, and a target file that says so; ``change`` that of each object before.

    ``canary_status`` is what somebody without a credential is answered on the canary's own route.
    """
    documents = added(world, "tenants")
    for document in documents:
        change(document)
    keys = {name: secrets.token_urlsafe(24) for name in (*RULES["tenants"], ISSUER)}
    kept = [_secret(KEYS, keys), _secret(TOKENS, _tokens(keys[ISSUER].encode()))]
    world.script(other_models=OTHER_MODEL)
    try:
        with _applied(world, [*kept, *documents]):
            _wait_guarded(world, canary_status)
            with world.target_says(**_declared(world.profile.namespace)):
                yield
    finally:
        world.script(other_models="")


def _secret(name: str, texts: dict[str, str]) -> Document:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def _tokens(key: bytes) -> dict[str, str]:
    now = int(time.time())
    genuine = {
        "sub": TEAM_B,
        "iss": RULES["tokens"]["issuer"],
        "aud": RULES["tokens"]["audience"],
        "exp": now + DAY_SECONDS,
    }
    return {
        TEAM_B: signed(key, genuine),
        "expired": signed(key, genuine | {"exp": now - 60}),
        "other-issuer": signed(key, genuine | {"iss": "https://issuer.example"}),
        "other-audience": signed(key, genuine | {"aud": "training"}),
    }


def signed(key: bytes, claims: dict[str, Any]) -> str:
    """Return a JSON Web Token."""
    head = {"alg": "HS256", "typ": "JWT"}
    content = str(Token(head, claims, b"")).removesuffix(".")
    return str(Token(head, claims, hmac.digest(key, content.encode(), "sha256")))


def _declared(namespace: str) -> dict[str, Any]:
    """Return what the target file says of them."""

    def secret(name: str, key: str) -> str:
        return f"${{secret:{namespace}/{name}/{key}}}"

    def bearer(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {secret(TOKENS, name)}"}

    def key(name: str) -> dict[str, str]:
        return {"X-Api-Key": secret(KEYS, name)}

    refused = ("expired", "other-issuer", "other-audience")
    tenants = RULES["tenants"].items()
    return {
        "gateway": {"headers": bearer(TEAM_B)},
        "clients": {
            # What the authorizer goes by is what the target file declares.
            "tenants": {name: {"headers": key(name), **rules} for name, rules in tenants},
            "refused": {why: bearer(why) for why in refused},
        },
    }


@contextmanager
def _applied(world: World, documents: list[Document]) -> Iterator[None]:
    namespace, cluster = world.profile.namespace, world.cluster
    [replicas] = [
        one["spec"]["replicas"]
        for one in documents
        if kind_and_name(one) == ("Deployment", AUTHORIZER)
    ]

    def serving() -> int:
        return sum(pod.serving for pod in cluster.pods(namespace, {"app": AUTHORIZER}))

    cluster.apply(documents, namespace=namespace)
    try:
        until(lambda: serving() == replicas, within_seconds=60, what="the authorizer Ready")
        yield
    finally:
        # The policy first: without the authorizer nobody would be answered.
        for one in sorted(documents, key=lambda one: one["kind"] != POLICY):
            kind, name = kind_and_name(one)
            cluster.delete(kind, namespace, name, api_version=one["apiVersion"])
        until(
            lambda: not cluster.pods(namespace, {"app": AUTHORIZER}),
            within_seconds=60,
            what="the authorizer gone",
        )
        world.wait_answers(
            lambda endpoint: endpoint.chat("?", max_tokens=1, fresh=True).ok,
            what="the gateway without tenants",
        )


def _wait_guarded(world: World, canary_status: int) -> None:
    _wait_status(world, {}, REFUSED)
    _wait_status(world, TO_CANARY, canary_status)


def _wait_status(world: World, headers: dict[str, str], status: int) -> None:
    def told(endpoint: Endpoint) -> bool:
        reply = endpoint.chat("?", max_tokens=1, headers=headers, fresh=True)
        return reply.status == status

    shown = headers or "no header"
    world.wait_answers(told, what=f"{status} for nobody in particular, with {shown}")
