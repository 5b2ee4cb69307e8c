"""What a run says of each item of the CNCF AI Conformance checklist.

Requirements are counted, never test functions. An item is implemented when every requirement behind
it passed, also those that the run left out; whatever is not decided is claimed by nobody.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hotfire import yaml_text
from hotfire.errors import ProfileError
from hotfire.outcome import Outcome, outcomes
from hotfire.requirement import Level, Requirement
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.verdict import Verdict
from reports._cncf_product import Product
from reports._words import because

IMPLEMENTED, PARTIALLY = "Implemented", "Partially Implemented"
NOT_IMPLEMENTED, NOT_APPLICABLE = "Not Implemented", "N/A"
STATUSES = (IMPLEMENTED, PARTIALLY, NOT_IMPLEMENTED, NOT_APPLICABLE)
LEFT_OUT = "left out"
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One requirement behind an item, as the run left it."""

    requirement: Requirement
    outcome: Outcome | None
    """None: the run left it out."""
    cut: bool = False
    """Whether the run ended before all of its cases."""

    @property
    def verdict(self) -> Verdict:
        """What the run proved."""
        if self.outcome is None or self.outcome.skipped:
            return Verdict.INCONCLUSIVE
        if self.cut and self.outcome.verdict is not Verdict.FAILED:
            return Verdict.INCONCLUSIVE
        return self.outcome.verdict

    @property
    def word(self) -> str:
        """The verdict, for a reader."""
        return LEFT_OUT if self.outcome is None or self.outcome.skipped else str(self.verdict)

    @property
    def why(self) -> str:
        """Why this verdict, on one line."""
        if self.outcome is None:
            return "not part of this run"
        if self.cut and self.outcome.verdict is not Verdict.FAILED:
            return "the run ended before all of its cases"
        return because(self.outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of the checklist and what stands behind it."""

    category: str
    name: str
    level: Level
    description: str = ""
    standings: tuple[Standing, ...] = ()

    @property
    def id(self) -> str:
        """Its name as requirements cite it."""
        return f"{self.category}.{self.name}"

    @property
    def passed(self) -> int:
        """How many requirements passed."""
        return sum(one.verdict is Verdict.PASSED for one in self.standings)

    @property
    def status(self) -> str:
        """The programme's word for it; empty: not decided."""
        found = {one.verdict for one in self.standings}
        if Verdict.FAILED in found:
            return PARTIALLY if Verdict.PASSED in found else NOT_IMPLEMENTED
        if not found or Verdict.INCONCLUSIVE in found:
            return ""
        if found == {Verdict.NOT_APPLICABLE}:
            return NOT_APPLICABLE
        return IMPLEMENTED if found == {Verdict.PASSED} else PARTIALLY

    @property
    def notes(self) -> str:
        """What a reviewer should know; empty where no requirement stands behind it."""
        if not self.standings:
            return ""
        rows = [f"{one.requirement.id} {one.word}{_reason(one)}" for one in self.standings]
        told = f"{self.passed} of {len(self.standings)} requirements passed"
        return f"hotfire: {told} ({'; '.join(rows)}). README.md names the lines of e2e.log."


def _reason(one: Standing) -> str:
    return "" if one.verdict is Verdict.PASSED else f": {one.why}"


def minor_version(info: RunInfo) -> str:
    """Return the version of Kubernetes as the programme's folders are named, such as v1.36.

    Raises:
        ProfileError: the run does not say.
    """
    found = _VERSION.match(info.cluster.version if info.cluster else "")
    if not found:
        raise ProfileError("the run does not tell the version of Kubernetes: it saw no cluster")
    return f"v{found[1]}.{found[2]}"


@cache
def checklists() -> dict[str, dict[str, dict[str, str]]]:
    """Return the levels of all items by version, category and name."""
    path = Path(__file__).parent / "templates" / "cncf.yaml"
    found: dict[str, dict[str, dict[str, str]]] = yaml_text.read(path.read_text(encoding="utf-8"))
    return found


def nearest(version: str) -> str:
    """Return the checklist that is known of a version, or the last one before it."""
    wanted = _ordered(version)
    earlier = [known for known in checklists() if _ordered(known) <= wanted]
    return max(earlier or checklists(), key=_ordered)


def _ordered(version: str) -> tuple[int, int]:
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def items(run: RunDirectory, wanted: Iterable[Requirement], kept: Product | None) -> list[Item]:
    """Return every item of the checklist, that of the file filled in if it has one."""
    behind = standings(run, wanted)
    plain = list(_filled(kept)) if kept and kept.spec else list(_known(minor_version(run.info())))
    return [
        Item(
            category=one.category,
            name=one.name,
            level=one.level,
            description=one.description,
            standings=tuple(s for s in behind if s.requirement.cncf == one.id),
        )
        for one in plain
    ]


def _filled(kept: Product) -> Iterator[Item]:
    for category, rows in kept.spec.items():
        for row in rows:
            text = row.description or ""
            try:
                level = Level(row.level)
            except ValueError as error:
                raise ProfileError(f"{category}.{row.id}: no level {row.level!r}") from error
            yield Item(category=category, name=row.id, level=level, description=text)


def _known(version: str) -> Iterator[Item]:
    for category, levels in checklists()[nearest(version)].items():
        for name, level in levels.items():
            yield Item(category=category, name=name, level=Level(level))


def standings(run: RunDirectory, wanted: Iterable[Requirement]) -> list[Standing]:
    """Return every requirement that answers an item, those that the run left out too."""
    results = run.results()
    cut = _files(set(run.planned()) - {result.nodeid for result in results})
    judged = {one.first.id: one for one in outcomes(results) if not one.is_run}
    asked = {one.id: one for one in wanted}
    asked |= {id_: one.first.requirement for id_, one in judged.items() if id_ not in asked}
    return [
        Standing(requirement=one, outcome=judged.get(id_), cut=_cut(judged.get(id_), cut))
        for id_, one in sorted(asked.items())
        if one.cncf
    ]


def _cut(outcome: Outcome | None, files: set[str]) -> bool:
    return outcome is not None and bool(_files({case.nodeid for case in outcome.cases}) & files)


def _files(nodeids: Iterable[str]) -> set[str]:
    return {nodeid.partition("::")[0] for nodeid in nodeids}
