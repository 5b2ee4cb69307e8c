"""The budget selects the pods by a label that they no longer have: it is there and holds nobody."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.budgets import budget
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    with budget(world, _of_the_version_before):
        yield


def _of_the_version_before(spec: Document) -> Document:
    labels = spec["selector"]["matchLabels"]
    return {"selector": {"matchLabels": {key: f"{value}-v1" for key, value in labels.items()}}}
