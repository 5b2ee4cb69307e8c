"""What a check claims: an id, a strength, a statement and where it comes from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_ID = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z][A-Z0-9]*)*-\d{3}")


class Level(StrEnum):
    """RFC 2119 strength of a requirement."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class Scope(StrEnum):
    """How much of the catalogue a run takes."""

    SMOKE = "smoke"
    """In under five minutes: what is read, one request of each kind, one pod that dies."""
    CORE = "core"
    """Of every area what tells most in a quarter of an hour."""
    FULL = "full"

    def holds(self, smallest: Scope) -> bool:
        """Return whether it takes what belongs to a scope; each takes all of those before it."""
        order = list(Scope)
        return order.index(smallest) <= order.index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """One requirement on the target, whoever checks it.

    ``id`` is never reused. ``features`` are what the target must claim for the requirement to
    apply. ``cncf`` is the AI Conformance item it answers. ``unprovable`` says why no defect
    twin exists; None means there is one.
    """

    id: str
    level: Level
    statement: str
    rationale: str
    source: str
    features: frozenset[str] = frozenset()
    cncf: str | None = None
    unprovable: str | None = None
    scope: Scope = Scope.FULL
    """The smallest scope that holds it."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"requirement id {self.id!r} must look like API-003 or FLT-POD-001")
        if not (self.statement and self.rationale):
            raise ValueError(f"{self.id}: the prose must give a statement and a rationale")
        if not self.source:
            raise ValueError(f"{self.id}: name the source that demands it")


def split_prose(prose: str | None) -> tuple[str, str]:
    """Return statement and rationale of a docstring, each paragraph one line; readers wrap them."""
    paragraphs = inspect.cleandoc(prose or "").split("\n\n")
    statement, *rest = (" ".join(paragraph.split()) for paragraph in paragraphs)
    return statement, "\n\n".join(line for line in rest if line)


def requirement(  # noqa: PLR0913 - a requirement has this many facts, all but three by name
    id_: str,
    level: Level,
    prose: str | None,
    *,
    source: str,
    features: Set[str] = frozenset(),
    cncf: str | None = None,
    unprovable: str | None = None,
    scope: Scope = Scope.FULL,
) -> pytest.MarkDecorator:
    """Mark a suite file as the check of one requirement.

    Args:
        id_: Stable identifier, never reused.
        level: How binding the requirement is.
        prose: The file's ``__doc__``: first line the statement, the rest the rationale.
        source: Deep link to the text that demands it.
        features: Features the target must claim for the requirement to apply.
        cncf: The CNCF AI Conformance item it answers.
        unprovable: Why there is no defect twin.
        scope: The smallest scope of a run that holds it.

    Raises:
        pytest.UsageError: the id, the prose or the source is missing or malformed.
    """
    # Imported here: pytest costs more time than the whole of ``hotfire --help`` may take.
    import pytest  # noqa: PLC0415

    statement, rationale = split_prose(prose)
    try:
        claim = Requirement(
            id=id_,
            level=Level(level),
            statement=statement,
            rationale=rationale,
            source=source,
            features=frozenset(features),
            cncf=cncf,
            unprovable=unprovable,
            scope=Scope(scope),
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    return pytest.mark.requirement(claim)
