"""What every check of an area says on the broken twin of one of them, and whether it should.

A twin breaks one thing, so of its area its own check alone is to fail. Where another falls with it
they see the same defect, and the twin's file says why; where it does not, nobody knew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict
from rich.table import Table
from rich.text import Text

from hotfire.rundir.files import append, read_lines
from hotfire.verdict import Verdict

_STRICT: Final = ConfigDict(extra="forbid", frozen=True)
_OWN: Final = ("X", "bold green")
_DECLARED: Final = ("x", "green")
_UNDECLARED: Final = ("!", "bold red")
_OTHERWISE: Final = {
    Verdict.PASSED: (".", "dim"),
    Verdict.INCONCLUSIVE: ("?", "yellow"),
    Verdict.NOT_APPLICABLE: ("-", "dim"),
}
LEGEND: Final = (
    "rows are twins, columns are checks: X its own check fails, as it must; x another falls with"
    " it, as declared; ! another falls with it, undeclared; . passes; ? inconclusive;"
    " - does not apply; nothing: not run there"
)


class Found(BaseModel):
    """What one check said."""

    model_config = _STRICT

    verdict: Verdict
    reason: str


class Row(BaseModel):
    """What the checks of an area said on the twin of one of them; one line of a file of rows."""

    model_config = _STRICT

    twin: str
    """Id of the check whose twin it is."""
    found: dict[str, Found]
    """By the check's id."""
    seconds: float


def keep(file: Path, row: Row) -> None:
    """Add a row to a file of rows; it is on disk when this returns."""
    append(file, row)


def kept(file: Path) -> dict[str, Row]:
    """Return the rows of a file by their twin, the last of each; none if there is no file.

    Raises:
        HistoryError: it holds something else.
    """
    return {row.twin: row for row in read_lines(file, Row)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A row beside what its twin's file declares."""

    row: Row
    declared: Mapping[str, str]
    """Which other checks fall with the twin, and why."""

    @property
    def own(self) -> Found:
        """What the twin's own check said."""
        nothing = Found(verdict=Verdict.INCONCLUSIVE, reason="it was not run")
        return self.row.found.get(self.row.twin, nothing)

    @property
    def fallen(self) -> dict[str, Found]:
        """The other checks that failed."""
        others = self.row.found.items()
        return {
            id_: found
            for id_, found in others
            if found.verdict is Verdict.FAILED and id_ != self.row.twin
        }

    @property
    def undeclared(self) -> dict[str, Found]:
        """Those of them that no file speaks of."""
        return {id_: found for id_, found in self.fallen.items() if id_ not in self.declared}

    @property
    def holds(self) -> bool:
        """Whether its own check failed, and besides nobody but who was declared."""
        return self.own.verdict is Verdict.FAILED and not self.undeclared

    def lines(self) -> list[Text]:
        """Return what is to be said of it: the check itself, who fell with it, who cannot tell."""
        failed = self.own.verdict is Verdict.FAILED
        own = "failed" if failed else f"did not fail: {self.own.verdict}: {self.own.reason}"
        told = [Text(f"{self.row.twin} {own}", style="" if failed else "bold red")]
        for id_, found in self.fallen.items():
            if id_ in self.declared:
                told.append(Text(f"{id_} falls with it: {self.declared[id_]}"))
            else:
                told.append(Text(f"{id_} FAILED TOO, UNDECLARED: {found.reason}", style="bold red"))
        told += [Text(line, style="yellow") for line in self._asides()]
        return told

    def _asides(self) -> list[str]:
        """Return what decides nothing: who is declared and stands, who could not find out."""
        others = {id_: one for id_, one in self.row.found.items() if id_ != self.row.twin}
        stands = [
            f"{id_} is declared to fall with it, and passed"
            for id_, found in others.items()
            if id_ in self.declared and found.verdict is Verdict.PASSED
        ]
        unknown = [
            f"{id_} is inconclusive on it: {found.reason}"
            for id_, found in others.items()
            if found.verdict is Verdict.INCONCLUSIVE
        ]
        return stands + unknown

    def _mark(self, id_: str) -> tuple[str, str]:
        found = self.row.found.get(id_)
        if found is None:
            return "", ""
        if found.verdict is not Verdict.FAILED:
            return _OTHERWISE[found.verdict]
        if id_ == self.row.twin:
            return _OWN
        return _DECLARED if id_ in self.declared else _UNDECLARED

    def cells(self, ids: Iterable[str]) -> list[Text]:
        """Return its cells of a table, one for each of these checks."""
        return [Text(letter, style=style) for letter, style in map(self._mark, ids)]


def table(area: str, companies: Iterable[Company]) -> Table:
    """Return the rows of one area, its checks as columns."""
    rows = list(companies)
    ids = sorted({id_ for one in rows for id_ in one.row.found})
    of_one_kind = len({id_.rpartition("-")[0] for id_ in ids}) == 1
    found = Table(box=None, pad_edge=False)
    found.add_column(area)
    for id_ in ids:
        found.add_column(id_.rpartition("-")[2] if of_one_kind else id_, justify="center")
    found.add_column("seconds", justify="right")
    for one in rows:
        found.add_row(Text(one.row.twin), *one.cells(ids), Text(f"{one.row.seconds:.0f}"))
    return found
