"""The scripted stack behind its RAG application, as ``overlays/rag`` says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.cluster import Document
from tests.overlays import Change, added, as_it_is, beside, kind_and_name
from tests.world import World

API, RETRIEVER, VECTOR_STORE, SESSION_STORE = (
    f"rag-{name}" for name in ("api", "retriever", "vector-store", "session-store")
)
EMBEDDER, EMBED_PATH = "rag-embedder", "/embed"
PARTS = (API, RETRIEVER, VECTOR_STORE, SESSION_STORE)
TRACE_STORE, TRACES_PATH = "rag-trace-store", "/traces"
CLAIMS = ("rag", "rag-cache", "rag-embeddings", "rag-sessions", "rag-traces")
SERVICES = {
    "gateway": "gateway", "api": API, "retriever": RETRIEVER, "vector-store": VECTOR_STORE,
    "engine": "engine",
}  # fmt: skip
CACHE = {name: {"name": f"rag_response_cache_{name}_total"} for name in ("hits", "misses")}
BASE_PATH, DEGRADED = "/rag", "X-Rag-Degraded"
FACTS = {
    "What is the pass word of the test stand?": "quenchrod",
    "Where does the valve of the second tank open?": "mulberry",
}


@contextmanager
def retrieving(world: World, change: Change = as_it_is) -> Iterator[None]:
    """Have the application, and a target file that says so; ``change`` each object before.

    Engines say what they were asked, so that an answer shows what stood in front of its question.
    """
    made = added(world, "rag")
    for document in made:
        change(document)
    world.script(misbehaviour="echo")
    try:
        with beside(world, made, base_path=BASE_PATH), world.target_says(**_declared(world)):
            yield
    finally:
        world.script(misbehaviour="ok")


def in_environment(deployment: str, **values: str) -> Change:
    """Return a change of what a part's environment says."""

    def change(document: Document) -> None:
        if kind_and_name(document) != ("Deployment", deployment):
            return
        [container] = document["spec"]["template"]["spec"]["containers"]
        named = {one["name"]: one for one in container["env"]}
        for name, value in values.items():
            named[name]["value"] = value

    return change


def _declared(world: World) -> dict[str, Any]:
    """Return what the target file says of it."""
    profile = world.profile
    gateway = json.loads(profile.gateway.model_dump_json(exclude_defaults=True))
    hops = {
        hop: {"name": "rag_hop_seconds", "labels": {"hop": hop}} for hop in ("retriever", "engine")
    }
    return {
        "claims": CLAIMS,
        "rag": {
            "gateway": {**gateway, "base_path": BASE_PATH},
            "parts": {name.removeprefix("rag-"): {"app": name} for name in PARTS},
            "facts": FACTS,
            "degradation": {"header": DEGRADED},
            "context_seconds": 2.0,
            "session_header": "X-Session-Id",
            "metrics": {"port": 8000, "hops": hops},
            "cache": CACHE,
            "embeddings": {"gateway": {**gateway, "base_path": EMBED_PATH}, "model": "embedder"},
            "traces": {
                "gateway": {**gateway, "base_path": TRACES_PATH},
                "services": {hop: [name] for hop, name in SERVICES.items()},
                "within_seconds": 15.0,
            },
        },
    }
