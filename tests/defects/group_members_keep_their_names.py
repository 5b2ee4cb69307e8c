"""Each instance is a Deployment: its pods have random names, and an update takes all at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.serving_operator import operated, rewritten
from tests.world import World

prepared = operated
FIELDS = """\
            "serviceName": serving["metadata"]["name"],
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
"""
# Beside the former pods there are no accelerators for new ones.
RECREATE = """\
            "strategy": {"type": "Recreate"},
"""
RENAMED = {FIELDS: RECREATE, '"StatefulSet"': '"Deployment"', "/statefulsets": "/deployments"}


@contextmanager
def broken(world: World) -> Iterator[None]:
    with operated(world, _of_deployments):
        yield


def _of_deployments(document: Document) -> None:
    for former, new in RENAMED.items():
        rewritten(former, new)(document)
    for rule in document.get("rules", ()):
        rule["resources"] = [
            "deployments" if one == "statefulsets" else one for one in rule["resources"]
        ]
