"""The shape of an engine is looked at when it is made, and never again."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.serving_operator import operated
from tests.world import World

prepared = operated


@contextmanager
def broken(world: World) -> Iterator[None]:
    with operated(world, _on_create_only):
        yield


def _on_create_only(document: Document) -> None:
    for webhook in document.get("webhooks", ()):
        webhook["rules"][0]["operations"] = ["CREATE"]
