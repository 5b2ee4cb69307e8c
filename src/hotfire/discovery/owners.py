"""What pods belong to, for many pods at once: a request for each would take minutes at scale."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from hotfire.cluster import Document, Owner, chain
from hotfire.discovery.eyes import Eyes

Place: TypeAlias = tuple[str, Owner]
"""Namespace, and the object in it."""
Owners: TypeAlias = Mapping[Place, Document]

_ONE_BY_ONE: Final = 8
"""So many of a kind are got each by itself; beyond, one list of all of the kind is less."""


def owners_of(documents: Iterable[Document], eyes: Eyes, namespace: str | None) -> Owners:
    """Return every object that these belong to, directly or not, as far as we see it.

    ``namespace``: where all of them are; None: anywhere.
    """
    found: dict[Place, Document] = {}
    asked: set[Place] = set()
    some = list(documents)
    while wanted := {place for one in some for place in _nearest(one)} - asked:
        asked |= wanted
        read = _read(eyes, wanted, namespace)
        found |= read
        some = list(read.values())
    return found


def _nearest(document: Document) -> Iterable[Place]:
    namespace = document["metadata"]["namespace"]
    return ((namespace, owner) for owner, _ in chain(document, lambda _: None))


def _read(eyes: Eyes, wanted: Iterable[Place], namespace: str | None) -> dict[Place, Document]:
    kinds: dict[tuple[str, str], set[Place]] = defaultdict(set)
    for place in wanted:
        kinds[place[1].kind, place[1].api_version].add(place)
    found: dict[Place, Document] = {}
    for (kind, version), places in kinds.items():
        if len(places) > _ONE_BY_ONE:
            found |= _listed(eyes, kind, version, places, namespace)
        else:
            found |= _got(eyes, places)
    return found


def _got(eyes: Eyes, places: Iterable[Place]) -> dict[Place, Document]:
    read = {
        (where, one): eyes.get(one.kind, where, one.name, api_version=one.api_version)
        for where, one in places
    }
    return {place: _kept(document, place) for place, document in read.items() if document}


def _listed(
    eyes: Eyes, kind: str, version: str, places: set[Place], namespace: str | None
) -> dict[Place, Document]:
    found = {}
    for document in eyes.each(kind, namespace, api_version=version):
        metadata = document["metadata"]
        owner = Owner(kind=kind, api_version=version, name=metadata["name"])
        if (place := (metadata.get("namespace", ""), owner)) in places:
            found[place] = _kept(document, place)
    return found


def _kept(document: Document, place: Place) -> Document:
    """Return what tells of its pods and of what it belongs to; a list leaves out the kind."""
    namespace, owner = place
    belongs_to = document["metadata"].get("ownerReferences") or []
    return {
        "kind": owner.kind,
        "apiVersion": owner.api_version,
        "metadata": {"name": owner.name, "namespace": namespace, "ownerReferences": belongs_to},
        "spec": {"selector": (document.get("spec") or {}).get("selector")},
    }
