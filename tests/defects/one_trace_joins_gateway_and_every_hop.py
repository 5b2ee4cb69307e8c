"""The gateway drops ``traceparent``, and tells no span: who is behind it begins another trace.

That one is whole in itself, and joins the application with all that it calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.rag import retrieving
from tests.traced import traced
from tests.world import World

prepared = traced
DROPPED = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["traceparent"]}}


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, drop_the_header):
        yield


def drop_the_header(document: Document) -> None:
    if (document["kind"], document["metadata"]["name"]) == ("HTTPRoute", "rag"):
        [rule] = document["spec"]["rules"]
        rule["filters"] = [DROPPED]
