"""How what is ours is told from everything else in a cluster: labels on all that we make."""

from hotfire.cluster.calls import Document

FIELD_MANAGER = "hotfire"
RUN_LABEL = "hotfire.dev/run"
OWNER_LABEL = "hotfire.dev/owner"
"""On everything we make: the system namespace of the target it was made for."""

UNDO_LABEL = "hotfire.dev/undo"
"""On the copy of each undo entry."""


def is_marked(document: Document, owner: str) -> bool:
    """Return whether an object carries the mark of this very target."""
    labels = document["metadata"].get("labels") or {}
    return bool(labels.get(OWNER_LABEL) == owner)


def marked(document: Document, owner: str) -> Document:
    """Return the object with the mark of the target it is made for."""
    metadata = document["metadata"]
    labels = {**(metadata.get("labels") or {}), OWNER_LABEL: owner}
    return {**document, "metadata": {**metadata, "labels": labels}}


def not_ours(field: str, name: str) -> str:
    """Return the refusal of an object that was there before us."""
    way_out = ", or set stack.deploy: false" if field in {"namespace", "PriorityClass"} else ""
    return f"{field}: {name} exists and is not hotfire's; name another{way_out}"
