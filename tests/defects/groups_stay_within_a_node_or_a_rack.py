"""Whatever a group requires of its place, an admission policy makes it a preference.

Groups that fit are placed as before; one that fits nowhere is split in place of having to wait.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.queues import JOBS
from hotfire.cluster import Document
from hotfire.waiting import until
from tests.queued import racked
from tests.world import World

prepared = racked

WISH, RULE = "kueue.x-k8s.io/podset-preferred-topology", "kueue.x-k8s.io/podset-required-topology"
_PATH = "/spec/template/metadata/annotations/kueue.x-k8s.io~1podset-{}-topology"
_ANNOTATIONS = "object.spec.template.metadata.annotations"
EXPRESSION = f"""
has({_ANNOTATIONS}) && "{RULE}" in {_ANNOTATIONS}
? [JSONPatch{{op: "move", from: "{_PATH.format("required")}", path: "{_PATH.format("preferred")}"}}]
: []
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    with racked(world):
        try:
            with world.admission_changes("batch", "jobs", EXPRESSION):
                until(lambda: WISH in _stored(world), within_seconds=60, what="the policy in force")
                yield
        finally:
            until(lambda: RULE in _stored(world), within_seconds=60, what="the policy gone")


def _stored(world: World) -> Document:
    """Return the annotations that the pods of a group would have, once its Job is stored."""
    container = {"name": "probe", "image": world.profile.images.python}
    template = {
        "metadata": {"annotations": {RULE: "kubernetes.io/hostname"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    metadata = {"name": "hotfire-probe"}
    job = {"apiVersion": JOBS, "kind": "Job", "metadata": metadata, "spec": {"template": template}}
    answer = world.cluster.would_admit(job, namespace=world.profile.namespace)
    stored = ((answer.document.get("spec") or {}).get("template") or {}).get("metadata") or {}
    annotations: Document = stored.get("annotations") or {}
    return annotations
