"""Whom an object belongs to, up to what nobody owns: owner references, whatever the kinds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hotfire.cluster.calls import Document

_LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An object that others belong to, directly or not."""

    kind: str
    api_version: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @classmethod
    def of(cls, document: Document) -> "Owner":
        """Return an object that was read as one that others belong to."""
        return cls(
            kind=document["kind"],
            api_version=document["apiVersion"],
            name=document["metadata"]["name"],
        )


def chain(
    document: Document, read: Callable[[Owner], Document | None]
) -> Iterator[tuple[Owner, Document | None]]:
    """Yield each owner, the nearest first, with its object as ``read`` returns it.

    It ends at what belongs to nobody, and where nothing was read.
    """
    one: Document | None = document
    for _ in range(_LONGEST_CHAIN):
        references = (one or {"metadata": {}})["metadata"].get("ownerReferences") or ()
        if not references:
            return
        reference = next((each for each in references if each.get("controller")), references[0])
        owner = Owner(
            kind=reference["kind"], api_version=reference["apiVersion"], name=reference["name"]
        )
        one = read(owner)
        yield owner, one
