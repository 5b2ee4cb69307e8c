"""The policy is bound to one of two routes: the canary's own is open to everybody."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.tenants import ANSWERED, POLICY, guarded
from tests.world import World

prepared = guarded


@contextmanager
def broken(world: World) -> Iterator[None]:
    route = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "inference"}

    def bind_to_one(document: Document) -> None:
        if document["kind"] == POLICY:
            del document["spec"]["targetSelectors"]
            document["spec"]["targetRefs"] = [route]

    with guarded(world, bind_to_one, canary_status=ANSWERED):
        yield
