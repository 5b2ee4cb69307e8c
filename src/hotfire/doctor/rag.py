"""What the target file says of the retrieval-augmented application, held against the cluster."""

from collections.abc import Iterator, Mapping
from typing import Final

from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.parts import without_pods
from hotfire.doctor.site import Site
from hotfire.rag import Rag

_REMEDIES: Final[Mapping[str, str]] = {
    "parts": "set rag.parts to the labels of each part's pods",
    "facts": "set rag.facts to questions that only a document answers, with a word of the answer",
    "degradation": "set rag.degradation to the header, field or status that tells of it",
    "metrics": "set rag.metrics to the histograms of the API's hops",
}
_CLAIMED: Final[Mapping[str, tuple[str, str]]] = {
    "rag-cache": ("cache", "set rag.cache to its counters of hits and misses"),
    "rag-embeddings": ("embeddings", "set rag.embeddings to where texts are embedded"),
    "rag-traces": ("traces", "set rag.traces to where the spans of its requests are told"),
    "rag-sessions": ("session_header", "set rag.session_header to what names a session"),
}
"""By a claim beside that of the application, the field that it needs."""


def rag(site: Site) -> Iterator[Finding]:
    """Yield what is claimed of an application and is not told, and parts without a pod."""
    features = frozenset({"rag", *_CLAIMED} & site.profile.claims)
    declared, ids = site.profile.rag, site.ids(lambda unit, _: bool(unit.features & features))
    if not features:
        return
    if declared is None:
        seen = f"{', '.join(sorted(features))} is claimed, and the target file has no section rag"
        remedy = "add it, with the application's gateway"
        yield Finding(mark=Mark.LACKING, about="rag", seen=seen, remedy=remedy, ids=ids)
        return
    yield from _untold(declared, features)
    yield from without_pods(site, "rag", declared.parts)


def _untold(declared: Rag, features: frozenset[str]) -> Iterator[Finding]:
    """Yield what checks ask for and nobody has said."""
    for field, remedy in _REMEDIES.items():
        if not getattr(declared, field):
            yield _lacking(f"rag.{field} is not set", remedy)
    for claim, (field, remedy) in _CLAIMED.items():
        if claim in features and getattr(declared, field) is None:
            yield _lacking(f"{claim} is claimed", remedy)


def _lacking(seen: str, remedy: str) -> Finding:
    return Finding(mark=Mark.LACKING, about="rag", seen=seen, remedy=remedy)
