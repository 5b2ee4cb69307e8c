"""``hotfire prove --matrix``: every check of an area on every twin of it, row by row."""

import os
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.text import Text

from hotfire.cli.catalogue import CatalogueEntry, companions, entries, named
from hotfire.cli.child import termination_as_interrupt
from hotfire.cli.lab_tests import (
    carried_out,
    name_of,
    require_checkout,
    test_and_case,
    trouble_of,
)
from hotfire.cli.matrix import LEGEND, Company, Row, kept, table
from hotfire.errors import ProfileError
from hotfire.own_folders import project_root, runs_folder
from hotfire.terminal import Terminal
from hotfire.verdict import Verdict

ROWS_VARIABLE: Final = "HOTFIRE_PROVE_MATRIX"
"""Names the file of rows, for the tests that make them; without it they are skipped."""
_TEST: Final = "test_only_declared_companions_fall_with_a_twin"
_USUAL_LAB: Final = "tests/lab/test_every_check_can_fail.py"
_OTHER_LABS: Final = "tests/topologies/test_checks_on_other_labs.py"
_STARTED: Final = re.compile(rf"::{_TEST}\[([^\]]+)\] ")


@dataclass(slots=True, kw_only=True)
class _Matrix:
    """The rows that are asked for, those that are there, and what was told of them."""

    asked: list[CatalogueEntry]
    declared: dict[str, dict[str, str]]
    """Who falls with the twin of an id, and why."""
    file: Path
    console: Terminal
    told: dict[str, Row] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    missing: list[CatalogueEntry] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.told = kept(self.file)
        self.missing = [one for one in self.asked if not self._is_made(one)]

    def _is_made(self, one: CatalogueEntry) -> bool:
        """Return whether its row need not be made again: there is one, and its own check failed."""
        row = self.told.get(one.requirement.id)
        return row is not None and self._company(row).own.verdict is Verdict.FAILED

    def _company(self, row: Row) -> Company:
        return Company(row=row, declared=self.declared[row.twin])

    def companies(self) -> dict[str, Company]:
        """Return the rows so far, in the order of the catalogue."""
        rows, ids = kept(self.file), [one.requirement.id for one in self.asked]
        return {id_: self._company(rows[id_]) for id_ in ids if id_ in rows}

    def look(self, log: str) -> None:
        """Tell which rows are there now, and which is being made."""
        for id_, company in self.companies().items():
            if company.row != self.told.get(id_):
                self.told[id_] = company.row
                self._tell(company)
        ids = {name_of(one): one.requirement.id for one in self.asked}
        for name in _STARTED.findall(log):
            if name in ids and name not in self.begun:
                self.begun.add(name)
                self.console.print(Text(f"{self._place()}the twin of {ids[name]} ..."))

    def _tell(self, company: Company) -> None:
        seconds = Text(f"  {company.row.seconds:.0f} s: ", style="dim")
        for number, line in enumerate(company.lines()):
            self.console.print((Text("    ") if number else seconds) + line, soft_wrap=True)

    def _place(self) -> str:
        """Return which row comes, of how many, and for how long it goes on, as far as is known."""
        done, total = len(self.begun) - 1, len(self.missing)
        place = f"[{done + 1}/{total}"
        if done:
            left = (total - done) * (time.monotonic() - self.began) / done
            place += f", about {max(1, round(left / 60))} min to go"
        return f"{place}] "

    def conclude(self) -> list[CatalogueEntry]:
        """Print the tables and what is not as it should be; return the twins without a row."""
        companies = self.companies()
        if companies:
            self.console.print(Text(LEGEND, style="dim"))
        for area, group in groupby(self.asked, key=lambda one: one.area):
            rows = [found for one in group if (found := companies.get(one.requirement.id))]
            if rows:
                self.console.print(table(area, rows))
        weak = [one for one in companies.values() if not one.holds]
        for company in weak:
            self.console.print(Text(f"the twin of {company.row.twin}:", style="bold red"))
            self._tell(company)
        held = f"{len(companies) - len(weak)} of {len(self.asked)}"
        self.console.print(Text(f"{held} twins fell their own check, and nobody undeclared"))
        self.console.print(Text(f"the rows: {self.file}"), soft_wrap=True)
        return [one for one in self.asked if one.requirement.id not in companies]

    @property
    def holds(self) -> bool:
        """Whether every twin fell its own check, and nobody else but who was declared."""
        companies = self.companies()
        return len(companies) == len(self.asked) and all(one.holds for one in companies.values())


def carry_out(only: Sequence[str], resumed: Path | None) -> int:
    """Run every check of an area on the twins that are asked for; return 0 only if all holds.

    Args:
        only: Ids and areas, as of ``hotfire prove``; a fault has no twin.
        resumed: A file of rows: those in it are not made again.

    Raises:
        ProfileError: an id is unknown, nothing of it has a twin, there is no such file, or this is
            no checkout with its tests.
        HarnessError: pytest itself broke down.
        KeyboardInterrupt: the operator ended it; what was known by then is printed and kept.
    """
    root, console = project_root(), Terminal(highlight=False)
    asked = [one for one in named(only, entries(root)) if one.twin]
    require_checkout(root, _USUAL_LAB)
    if not asked:
        raise ProfileError("--matrix: only checks have twins; name one, or an area of checks")
    if resumed is not None and not resumed.exists():
        raise ProfileError(f"--resume {resumed}: there is no such file of rows")
    declared = {one.requirement.id: companions(one, root) for one in asked}
    file = (resumed or _new()).resolve()
    matrix = _Matrix(asked=asked, declared=declared, file=file, console=console)
    console.print(
        Text(f"{len(matrix.missing)} of {len(asked)} twins to try, each with its area's checks")
    )
    cases = _made(matrix, root) if matrix.missing else []
    troubles = {name: trouble_of(case) for case in cases for _, name in [test_and_case(case)]}
    for one in matrix.conclude():
        why = troubles.get(name_of(one)) or "nothing was shown"
        console.print(Text(f"the twin of {one.requirement.id}: {why}", style="bold red"))
    return 0 if matrix.holds else 1


def _made(matrix: _Matrix, root: Path) -> list[ET.Element]:
    """Make the missing rows; return pytest's test cases."""
    os.environ[ROWS_VARIABLE] = str(matrix.file)
    # One lab stands at a time: the usual one, which stays until the end, comes second.
    tests = [f"{file}::{_TEST}" for file in (_OTHER_LABS, _USUAL_LAB) if (root / file).exists()]
    try:
        with termination_as_interrupt(), TemporaryDirectory(prefix="hotfire-prove-") as name:
            return carried_out(
                tests, matrix.missing, root=root, folder=Path(name), look=matrix.look
            )
    except KeyboardInterrupt:
        matrix.conclude()
        matrix.console.print(Text(f"the rest: --resume {matrix.file}"), soft_wrap=True)
        raise


def _new() -> Path:
    """Return a file of rows, which has none yet."""
    folder = runs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"matrix-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    # Who ends it before its first row is told to go on with it all the same.
    file.touch()
    return file
