"""Prompts stick to a version by their length: the long ones to one, the middle ones to the other.

There are as many of each as makes the count of requests what the weights say.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.stack import CANARY
from hotfire.cluster import Document
from tests.world import World

# The length of a request whose prompt has 512 words, and of one with 128.
LONG, MIDDLE = "1[0-9]{3}", "3[0-9]{2}"
PROMPT = " ".join(["a"] * 512)


@contextmanager
def broken(world: World) -> Iterator[None]:
    backends = world.stack.way_in()["spec"]["rules"][0]["backendRefs"]
    canary = [one for one in backends if one["name"] == CANARY]
    stable = [one for one in backends if one["name"] != CANARY]
    with world.more_rules(
        _rule(LONG, stable),
        _rule(MIDDLE, canary),
        asked=lambda endpoint: endpoint.complete(PROMPT, fresh=True),
    ):
        yield


def _rule(length: str, backends: list[Document]) -> Document:
    of_length = {"type": "RegularExpression", "name": "content-length", "value": length}
    return {"matches": [{"headers": [of_length]}], "backendRefs": backends}
